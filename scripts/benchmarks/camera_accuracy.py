"""Cameras from pixels alone against rendered truth: the table of docs/benchmarks.md#cameras.

Registered frames; root mean square distance of the centres after a similarity, as a fraction of the diagonal of the box
around the true ones; mean and largest error of the relative rotation over all pairs of frames; focal length; time.
"""

from __future__ import annotations

from _scenes import arguments, markdown, prepared, read_json, true_cameras

from nsff.cameras.align import pose_errors

HEAD = [
    "scene", "registered", "position error", "rotation error, mean (largest)", "focal length", "reprojection error",
    "triangulation angle", "flow to epipolar lines", "attempt", "seconds (sfm)",
]  # fmt: skip


def main() -> None:
    given = arguments(__doc__ or "")
    rows = []
    for name in given.only:
        scene = prepared(name, given.scenes, given.work)
        sfm, cameras = (
            read_json(scene.path("summaries", "sfm.json")),
            read_json(scene.path("summaries", "cameras.json")),
        )
        true = true_cameras(name, given.scenes, scene)
        row = [name, f"{sfm['registered']} of {sfm['n_frames']}"]
        if true is None:
            row += ["no truth", "no truth", f"{sfm['focal_ratio']:.3f} of the width"]
        else:
            errors = pose_errors(scene.cameras, true)
            row += [
                f"{100 * errors.position_rmse:.2f} % of the extent",
                f"{errors.rotation_mean:.3f}° ({errors.rotation_max:.3f}°)",
                f"{100 * errors.focal:+.2f} %",
            ]
        residual = cameras["epipolar_residual"]
        row += [
            f"{sfm['reprojection_error']:.2f} px at {sfm['working_height']} rows",
            f"{sfm['triangulation_angle']:.1f}°",
            "no parallax" if residual is None else f"{residual:.2f} px",
            sfm["attempt"],
            f"{read_json(scene.path('seconds.json'))['sfm']:.0f}",
        ]
        rows.append(row)
    print(markdown(HEAD, rows))


if __name__ == "__main__":
    main()
