#!/usr/bin/env bash
# Size of a base installation: everything in site-packages but pip and setuptools, in a new environment.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check --no-compile -c constraints.txt . 2>/dev/null
"$folder/env/bin/pip" uninstall --quiet --yes setuptools
site=$("$folder/env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
rm -rf "$site"/pip "$site"/pip-*
du -sm "$site"/* | sort -rn | head -12 | sed "s#$site/##"
echo "$(du -sm "$site" | cut -f1) MB in all"
