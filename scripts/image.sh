#!/usr/bin/env bash
# Puts together what deploy/Dockerfile does, without Docker, and runs it as the
# container would: a read-only root that holds one program, and a user without
# rights. Needs root (for chroot), the program in bin/ and its settings in the
# environment, those of a running `make run` for example: . .shingle/env
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "$(id -u)" = 0 ] || { echo 'image.sh: chroot needs root' >&2; exit 1; }

root=$(mktemp -d)
chmod 755 "$root"
trap 'umount -R "$root" 2>/dev/null || true; rm -rf "$root"' EXIT
mkdir -p "$root"/{etc/ssl/certs,tmp,data,proc}
cp bin/shingle "$root/shingle"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'shingle:x:65532:65532:shingle:/data:/none\n' > "$root/etc/passwd"
[ -e /etc/resolv.conf ] && cp /etc/resolv.conf "$root/etc/"
bytes=$(gzip -1c "$root/shingle" | wc -c)
echo "image: $((bytes / 1000000)) MB compressed, $(($(stat -c %s "$root/shingle") / 1000000)) MB on disk"
[ "$bytes" -lt 40000000 ] || { echo 'image.sh: over 40 MB' >&2; exit 1; }

mount --bind "$root" "$root"
for dir in tmp data; do mount -t tmpfs -o mode=1777 tmpfs "$root/$dir"; done
mount -o remount,bind,ro "$root"
run=(env SHINGLE_DATA_DIR=/data SHINGLE_BLOB_URL= SHINGLE_LISTEN=127.0.0.1:18765 SHINGLE_OPS_LISTEN=127.0.0.1:18766
	chroot --userspec=65532:65532 "$root" /shingle)
"${run[@]}" --version
if "${run[@]}" migrate status > /dev/null 2>&1; then
	"${run[@]}" serve &
	pid=$!
	for _ in $(seq 100); do curl -fsS -o /dev/null 127.0.0.1:18766/readyz 2>/dev/null && break; sleep 0.05; done
	curl -fsS 127.0.0.1:18766/readyz
	curl -sS -o /dev/null -w 'platform page: %{http_code}\n' -H "Host: $SHINGLE_PLATFORM_HOST" 127.0.0.1:18765/
	kill "$pid"
	wait "$pid"
else
	echo 'no database in the environment: served nothing'
fi
