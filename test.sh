#!/bin/sh
# Run the tests: `./test.sh` all of them, with the coverage that they owe; `./test.sh ARGUMENT...` hands the arguments to pytest.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
. "$root/.ci/environment.sh"

prepare local mcp test
cd "$root"
export PYTHONASYNCIODEBUG=1
if [ $# -gt 0 ]; then
    exec "$venv/bin/python" -m pytest "$@"
fi
# Fetched here, because a test that fetches would run into its time limit.
"$venv/bin/python" -m realtime models fetch base tiny.en smollm2-135m-instruct smart-turn-v3.2 en_US-joe-medium >&2 || say "The tests that need these models will say so."
exec "$venv/bin/python" .ci/cover.py
