# Included before Snakemake reads config.yaml: what is no text in UTF-8 would end in a traceback of its reader.
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir)))

from nsff.config.strict_yaml import check_files
from nsff.errors import NsffError

try:
    check_files(path for path in ["config.yaml"] if Path(path).exists())
except NsffError as error:
    sys.exit(f"The configuration cannot be used. {error}")  # an exception would bring lines of this file along
