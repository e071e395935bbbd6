"""Training state: kept in twos, damaged files passed over, foreign state thrown away."""

import torch

from nsff.training.checkpoints import CheckpointStore

CPU = torch.device("cpu")


def test_keeps_the_last_two(tmp_path):
    store = CheckpointStore(tmp_path / "state", "a")
    for step in (10, 20, 30):
        store.save(step, {"step": step})
    assert [path.name for path in store.paths()] == ["step_000000020.pt", "step_000000030.pt"]
    assert store.latest(CPU) == {"step": 30}


def test_a_truncated_checkpoint_is_passed_over(tmp_path):
    store = CheckpointStore(tmp_path / "state", "a")
    store.save(10, {"step": 10, "x": torch.ones(1000)})
    newest = store.save(20, {"step": 20, "x": torch.ones(1000)})
    newest.write_bytes(newest.read_bytes()[:500])
    assert store.latest(CPU)["step"] == 10


def test_state_of_other_inputs_is_thrown_away(tmp_path):
    CheckpointStore(tmp_path / "state", "a").save(10, {"step": 10})
    assert CheckpointStore(tmp_path / "state", "a").latest(CPU) is not None
    assert CheckpointStore(tmp_path / "state", "b").latest(CPU) is None


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path):
    store = CheckpointStore(tmp_path / "state", "a")
    torch.save({"step": 1, "evil": print}, tmp_path / "state" / "step_000000001.pt")
    assert store.latest(CPU) is None
