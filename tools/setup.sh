#!/usr/bin/env bash
# Sets up what the targets of the Makefile need. `setup.sh runtime`: what a running cluster needs; `setup.sh dev`: the
# checks and the tests besides. Where it may not install, it says exactly what to run.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?runtime or dev}
python=${PYTHON:-python3}

# program:package, as Debian names them
needs_runtime="conmon:conmon busybox:busybox-static runc:runc crun:crun"
needs_dev="docker-registry:docker-registry kubectl:kubernetes-client nft:nftables ip:iproute2 wrk:wrk chromium:chromium /usr/lib/cni/ptp:containernetworking-plugins"

missing=()
for pair in $needs_runtime $([ "$what" = dev ] && echo "$needs_dev"); do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}")
done
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then missing+=(python3-venv); fi
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Debian packages: ${missing[*]}"
    apt-get update -qq >/dev/null || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "Some programs are missing. For real containers, run this as root:" >&2
    echo "  apt-get install -y --no-install-recommends ${missing[*]}" >&2
    [ "$what" = dev ] || echo "Without them Podling simulates containers (--runtime sim)." >&2
    case " ${missing[*]} " in *" python3-venv "*) exit 1 ;; esac
  fi
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Podling needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Set PYTHON=/path/to/python3.11" >&2
  exit 1
}
[ -x .venv/bin/python ] || "$python" -m venv .venv
install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
if [ "$what" = dev ]; then
  echo "Installing the packages for checks and tests"
  "${install[@]}" --editable '.[dev]'
else
  echo "Installing Podling's packages"
  "${install[@]}" --editable .
fi
if [ "$what" = dev ] && [ ! -x .tools/kubectl-debian ] && command -v apt-get >/dev/null; then
  # Debian's own kubectl, old on purpose: it speaks SPDY, and the tests try both.
  folder=$(mktemp -d)
  if (cd "$folder" && apt-get download -qq kubernetes-client >/dev/null 2>&1 && dpkg-deb -x kubernetes-client_*.deb .); then
    mkdir -p .tools && cp "$folder/usr/bin/kubectl" .tools/kubectl-debian
  fi
  rm -rf "$folder"
fi
.venv/bin/python -m compileall -q src # the first start should not be the one that compiles
touch .venv/.runtime
[ "$what" = dev ] && touch .venv/.dev
exit 0
