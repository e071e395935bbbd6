"""Cluster rendered features over all views, merge, and vote which clusters are objects."""

from _arguments import main


def run(scene, config, arguments):
    from nsff.decompose.clustering import run_cluster

    run_cluster(scene, config.decompose)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="cluster",
        reads="maps/, flow/",
        writes="clusters/",
    )
