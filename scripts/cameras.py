"""Undistort and resize the frames to their canonical size; write cameras, points, the pixel map and flow for it."""

from _arguments import main


def run(scene, config, arguments):
    from nsff.priors.canonical.stage import run_canonical

    run_canonical(scene, config.canonical)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="cameras",
        reads="frames/, sfm/, raw_flow/, given/",
        writes="cameras.json, poses_bounds.npy, points.npz, pixel_map.npz, images/, flow/",
        isolated=True,
    )
