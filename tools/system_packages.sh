#!/bin/sh
# The one list of what no pip can bring: who needs it, the Debian packages, and how to see that it is there.
#
#   tools/system_packages.sh build          for `make build`
#   tools/system_packages.sh build test     for `make test`, `make sanitize` and `make fuzz` too
#   tools/system_packages.sh build cluster  for `make cluster-demo`
#   tools/system_packages.sh test faults    for `make faults`
#   tools/system_packages.sh build package  for `make deb`
#
# As root on a Debian what is missing is installed; elsewhere it is named in one line, and the exit code is 1.
set -u
cd "$(dirname "$0")/.." || exit 1
PATH=$PATH:/usr/sbin:/sbin

list() {
    cat <<'LIST'
build   | gcc libc6-dev python3 python3-venv python3-dev | tools/find_python.sh
test    | git                     | command -v git
test    | clang libclang-rt-dev   | any clang clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14
test    | libclang-rt-dev         | ls /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.fuzzer*.a /usr/lib/clang/*/lib/*/libclang_rt.fuzzer*.a
test    | postgresql              | ls /usr/lib/postgresql/*/bin/initdb
test    | etcd-server             | command -v etcd
test    | etcd-client             | command -v etcdctl
test    | mosquitto               | command -v mosquitto
test    | nginx-light             | command -v nginx
test    | haproxy                 | command -v haproxy
test    | iptables                | command -v iptables
test    | systemd                 | command -v systemd-analyze
test    | nodejs                  | command -v node
test    | chromium                | command -v chromium
test    | prometheus              | command -v promtool
cluster | postgresql              | ls /usr/lib/postgresql/*/bin/initdb
cluster | etcd-server             | command -v etcd
package | python3                 | ls /usr/bin/python3
package | dpkg                    | command -v dpkg-deb
faults  | patroni                 | command -v patroni
measure | valgrind                | command -v valgrind
LIST
}

any() { for name; do command -v "$name"; done; }

missing() {
    list | while IFS='|' read -r group packages probe; do
        case " $* " in *" ${group%% *} "*) ;; *) continue ;; esac
        # `ls` fails when one of its places is empty: what counts is that something was found.
        [ -n "$(eval "$probe" 2>/dev/null)" ] || echo "$packages"
    done | tr -s ' \n' '\n\n' | sort -u | tr '\n' ' ' | sed 's/^ *//; s/ *$//'
}

wanted=$(missing "$@")
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: $wanted (as Debian names them: apt-get install these as root)" >&2
    exit 1
fi
echo "installing $wanted"
# Servers come along, and none of them is to be started: the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
fi
log=$(mktemp)
# shellcheck disable=SC2086 # one word a package
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $wanted; } >"$log" 2>&1
then
    cat "$log" >&2
    exit 1
fi
rm -f "$log"
still=$(missing "$@")
[ -z "$still" ] || { echo "installed, but not found: $still" >&2; exit 1; }
