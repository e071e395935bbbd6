"""PLY files of Gaussians, as an independent reader (plyfile) finds them."""

import numpy as np
from plyfile import PlyData

from nsff.splats.ply import write_splats_ply
from nsff.splats.scene import SplatSet

FIELDS = [
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
    "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
]  # fmt: skip


def test_what_another_reader_finds(tmp_path, make_scene):
    splats = make_scene().at(3.5)
    write_splats_ply(tmp_path / "frame.ply", splats)
    content = PlyData.read(tmp_path / "frame.ply")
    assert not content.text and content.byte_order == "<"
    table = content["vertex"].data
    assert list(table.dtype.names) == FIELDS

    def columns(*names):
        return np.stack([table[name] for name in names], axis=1)

    np.testing.assert_array_equal(columns("x", "y", "z"), splats.means)
    assert not columns("nx", "ny", "nz").any()
    colours = 0.5 + 0.28209479177387814 * columns(*FIELDS[6:9])
    np.testing.assert_allclose(colours, splats.colours, atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-table["opacity"])), splats.opacities, atol=1e-6)
    np.testing.assert_allclose(np.exp(columns(*FIELDS[10:13])), splats.scales, rtol=1e-5)
    unit = columns(*FIELDS[13:])
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        unit * np.linalg.norm(splats.quaternions, axis=1)[:, None], splats.quaternions, atol=1e-5
    )


def test_opacities_without_a_logit_and_no_gaussians(tmp_path):
    one = np.ones((2, 3))
    write_splats_ply(tmp_path / "a.ply", SplatSet(one, np.ones((2, 4)), one, np.array([0, 1]), one, np.zeros(2)))
    assert PlyData.read(tmp_path / "a.ply")["vertex"]["opacity"].tolist() == [-12, 12]
    write_splats_ply(tmp_path / "b.ply", SplatSet.empty())
    assert PlyData.read(tmp_path / "b.ply")["vertex"].count == 0
