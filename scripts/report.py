"""Write the page that shows what every stage made, and what went wrong."""

from _arguments import main


def run(scene, config, arguments):
    from nsff.report.page import run_report

    run_report(scene, config)


if __name__ == "__main__":
    main(
        __doc__,
        run,
        stage="report",
        reads="everything in the scene folder",
        writes="report.html",
    )
