"""What ``snakemake`` says of targets and scenes that do not exist, and of presets that are too much for a CPU."""


def test_a_target_that_does_not_exist(project, dense_writer, room_film):
    dense_writer(project.folder / "clip", room_film)
    project.configure({"room": {"input": {"path": "clip"}}, "large": {"preset": "fast", "input": {"path": "clip"}}})
    project.config["scenes"]["large"]["train"] = {"steps": 6000}
    project.configure(project.config["scenes"])
    ended = project.snakemake("results/room/reprot.html", "-n", environment={"CUDA_VISIBLE_DEVICES": ""})
    assert ended.status == 1
    assert "There is no target results/room/reprot.html. Did you mean 'report.html'? Scene room has: " in ended.text
    assert "Traceback" not in ended.text
    assert "Slow. large: preset fast is made for a GPU" in ended.stderr
    assert "Slow. room" not in ended.stderr
    ended = project.snakemake("results/rom/report.html", "-n")
    assert "the configuration has no scene rom. Did you mean 'room'? There are: large, room." in ended.text
