#!/bin/sh
# Serve from a fresh checkout: makes .venv, installs, fetches the models, starts. Takes the options of `python -m realtime serve`.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
. "$root/.ci/environment.sh"

prepare local
# -P: a folder of the caller's that happens to be called realtime is not ours.
for option in "$@"; do
    case $option in
        -h | --help) exec "$venv/bin/python" -P -m realtime serve --help ;;
    esac
done
"$venv/bin/python" -P -m realtime models fetch "$@"
exec "$venv/bin/python" -P -m realtime serve "$@"
