# Shared by quickstart, test and bench: sourced, not run.

say() { printf '%s: %s\n' "$(basename "$0")" "$*"; }

# The first Python from 3.11 on that this user can start.
find_python() {
    local candidate
    for candidate in "${RPOD_PYTHON:-}" /usr/bin/python3 python3.13 python3.12 python3.11 python3 python3.14; do
        [ -n "$candidate" ] || continue
        candidate=$(command -v "$candidate" 2>/dev/null) || continue
        if "$candidate" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "no Python 3.11 or newer was found; on Debian and Ubuntu: apt-get install python3" >&2
    return 1
}

# Whether user $1 can read the checkout.
readable_by() {
    setpriv --reuid "$1" --regid "$1" --init-groups test -r "$top/pyproject.toml" -a -x "$top/bin"
}

# Copy the checkout to where everybody can read it; its place is left in "copy", for the caller to remove.
copy_readable() {
    copy=$(mktemp -d "/var/tmp/rpod-checkout.XXXXXX")
    say "copying the checkout to $copy, where other users can read it, for as long as this takes"
    cp -a "$top/." "$copy/"
    chmod -R a+rX "$copy"
}

# Go on as user $1 in a clean environment; the rest is the command. The checkout is copied where that user can't read it.
as_user() {
    local user=$1 id home place code=0
    shift
    id=$(id -u "$user")
    home=$(getent passwd "$user" | cut -d: -f6)
    place=$top
    if ! readable_by "$user"; then
        copy_readable
        place=$copy
        trap 'rm -rf "$copy"' EXIT
    fi
    (cd "$place" && setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=-all \
        env -i HOME="$home" USER="$user" LOGNAME="$user" SHELL=/bin/bash LANG=C.UTF-8 TERM="${TERM:-dumb}" \
        PATH=/usr/local/bin:/usr/bin:/bin XDG_RUNTIME_DIR="/run/user/$id" CI="${CI:-}" RPOD_CGROUP2="${RPOD_CGROUP2:-}" \
        ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} ${PIP_CONFIG_FILE:+PIP_CONFIG_FILE="$PIP_CONFIG_FILE"} \
        ${PIP_TRUSTED_HOST:+PIP_TRUSTED_HOST="$PIP_TRUSTED_HOST"} ${PIP_CERT:+PIP_CERT="$PIP_CERT"} \
        ${SSL_CERT_FILE:+SSL_CERT_FILE="$SSL_CERT_FILE"} ${REQUESTS_CA_BUNDLE:+REQUESTS_CA_BUNDLE="$REQUESTS_CA_BUNDLE"} \
        ${https_proxy:+https_proxy="$https_proxy"} ${http_proxy:+http_proxy="$http_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
        "$@") || code=$?
    if [ "$place" != "$top" ]; then
        rm -rf "$place"
        trap - EXIT
    fi
    return $code
}

# Where tools keep what they write: the checkout may belong to somebody else.
keep_caches_in() {
    mkdir -p "$1"
    export PYTHONPYCACHEPREFIX="$1/pycache" RUFF_CACHE_DIR="$1/ruff" MYPY_CACHE_DIR="$1/mypy"
    export HYPOTHESIS_STORAGE_DIRECTORY="$1/hypothesis" PYTEST_ADDOPTS="${PYTEST_ADDOPTS:-} -o cache_dir=$1/pytest"
}

# Make or renew the environment $1 with this checkout and the extras $2 (such as "[dev]") installed; quiet unless it fails.
# Nothing is done where the same was installed before.
install_checkout() {
    local place=$1 extras=$2 python source log installed
    installed="$extras $(cd "$top" && find rootless_pod bin pyproject.toml -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum | sha256sum)"
    if [ -x "$place/bin/rpod" ] && "$place/bin/python" -c '' 2>/dev/null \
        && [ "$(cat "$place/installed.sha256" 2>/dev/null)" = "$installed" ]; then
        return
    fi
    python=$(find_python) || return 1
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2
        return 1
    fi
    log=$(mktemp)
    source=$(mktemp -d)
    # Building writes into the source tree: build from a copy, so that a read-only checkout works too.
    cp -a "$top/rootless_pod" "$top/bin" "$top/pyproject.toml" "$top/README.md" "$top/LICENSE" "$source/"
    if ! { [ -x "$place/bin/python" ] || "$python" -m venv "$place"; } >"$log" 2>&1 \
        || ! "$place/bin/python" -m pip install --disable-pip-version-check --quiet "$source$extras" >>"$log" 2>&1 \
        || ! "$place/bin/python" -m pip install --disable-pip-version-check --quiet --no-deps --force-reinstall "$source" >>"$log" 2>&1; then
        say "installing into $place failed:" >&2
        tail -n 20 "$log" >&2
        rm -rf "$source" "$log"
        return 1
    fi
    printf '%s\n' "$installed" >"$place/installed.sha256"
    rm -rf "$source" "$log"
}

# Go on with the command in a mount namespace of its own where /sys/fs/cgroup is cgroup v2, in a sub-tree that belongs to
# rpod-test: crun refuses hosts that mix v1 and v2. The machine's own cgroup mounts are not touched. Does not return.
in_private_cgroup2() {
    say "this machine mixes cgroup v1 and v2: mounting v2 in a private mount namespace, with a sub-tree for the tests"
    export RPOD_CGROUP2=/sys/fs/cgroup/rpod-test-$$
    exec unshare --mount --propagation private bash -c '
        if mount -t cgroup2 none /sys/fs/cgroup && mkdir -p "$RPOD_CGROUP2" && chown -R rpod-test: "$RPOD_CGROUP2" \
            && echo $$ >"$RPOD_CGROUP2/cgroup.procs"; then :; else
            echo "cgroup v2 cannot be set up here: going on without it"
            export RPOD_CGROUP2=none
        fi
        code=0
        "$0" "$@" || code=$?
        if [ -d "$RPOD_CGROUP2" ]; then
            echo $$ >/sys/fs/cgroup/cgroup.procs
            find "$RPOD_CGROUP2" -depth -type d -exec rmdir {} + 2>/dev/null
        fi
        exit $code' "$@"
}
