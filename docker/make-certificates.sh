#!/bin/sh
# Make certificates for scheduler, worker and client, by an authority of their own:
#   make-certificates.sh [FOLDER]        (default: certificates, beside this script)
# The authority's key is thrown away: nobody can make another that the cluster would take. Keys can
# be read by their owner only: you, or, if root makes them, the user of the containers.
set -eu
folder=${1:-$(dirname "$0")/certificates}
umask 077
mkdir "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

make_key "$work/ca.key"
openssl req -x509 -new -key "$work/ca.key" -out "$folder/ca.pem" -days 825 \
    -subj "/CN=bigquant cluster" -addext "keyUsage=critical,keyCertSign,cRLSign"
echo "basicConstraints=CA:false" >"$work/extensions"
for role in scheduler worker client; do
    make_key "$folder/$role.key"
    openssl req -new -key "$folder/$role.key" -subj "/CN=$role" -out "$work/request"
    openssl x509 -req -in "$work/request" -CA "$folder/ca.pem" -CAkey "$work/ca.key" \
        -set_serial "0x$(openssl rand -hex 8)" -days 825 -extfile "$work/extensions" \
        -out "$folder/$role.pem" 2>/dev/null
done
if [ "$(id -u)" = 0 ]; then
    chown -R "${BIGQUANT_USER:-10001:10001}" "$folder"
fi
echo "made $folder: good for 825 days"
