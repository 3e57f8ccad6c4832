# shellcheck shell=sh
# The virtual environment that start.sh, test.sh and the Makefile share. Sourced under `set -eu`, with `root` set to the checkout.
#
# It makes .venv and installs the checkout into it, editable, so that an update of the code needs no new install. A stamp says for
# which pyproject.toml, which extras and which place that was done, so that the next run has nothing to do. Every step may be
# interrupted: what was left half-done is found and done again.

venv=${root:?}/.venv

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$@"
    exit 1
}

# prepare EXTRA...: make sure of an environment that holds the package with these extras.
prepare() {
    for extra in "$@"; do
        if [ ! -x "$venv/bin/python" ] || [ "$(cat "$venv/with-$extra" 2>/dev/null)" != "$(fingerprint)" ]; then
            make_venv
            install_package "$@"
            return
        fi
    done
}

fingerprint() {
    { printf '%s\n' "$root" && cat "$root/pyproject.toml"; } | cksum
}

# $venv/unfinished stands from the making of the environment until its first install is whole.
make_venv() {
    if [ ! -e "$venv/unfinished" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(find_python)
    require_venv "$python"
    say "Making $venv with $python"
    "$python" -m venv --clear "$venv"
    : >"$venv/unfinished"
}

# Print the first Python that is new enough; where PYTHON is set, only that one will do.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.12 python3.11 python3.13 python3 python
    fi
    for candidate in "$@"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed; looked for: $*. Install it, or name one: PYTHON=/path/to/python3.11 $0"
}

# Debian and Ubuntu ship a Python that can't make environments until a further package is there.
require_venv() {
    if ! "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        die "Python $version is here, but its venv module is not. On Debian or Ubuntu: sudo apt install python$version-venv"
    fi
}

install_package() {
    extras=$(IFS=, && printf '%s' "$*")
    say "Installing realtime-daemon[$extras] and what it needs; the first time this takes some minutes"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --editable "${root}[$extras]" ||
        die "The install failed; the lines above say why. Run $0 again to go on."
    for extra in "$@"; do
        fingerprint >"$venv/with-$extra"
    done
    rm -f "$venv/unfinished"
}
