# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# certs.sh -- a small certificate authority for system tests (bash).
#
# Sourced after lab.sh or pair.sh. Everything is in $PKI.
#
#   pki_key NAME [ec|rsa|ec384]         NAME.key
#   pki_root NAME                       NAME.key, NAME.pem: signed by itself
#   pki_ca NAME ISSUER [openssl x509 options]
#   pki_cert NAME ISSUER SAN [openssl x509 options]: NAME.key unless there, NAME.pem
#   pki_sign NAME ISSUER CSR            NAME.pem for somebody else's key, with the CSR's
#                                       names
#   certs_up [CONFIG]                   hasync, vpnd and acmed on the gateway
#   cert ARGS...                        vpnctl cert; its answer in $SAID, errors too
#   echoes_start NS, echoes_lost NS     a ping each 50 ms; how many were lost before the
#                                       last one that came (not: the one on its way)
#   pki_live DIR NAME CA...             key and chain become DIR/live.pem, in one move

PKI=$LAB/pki
mkdir -p "$PKI"

pki_key() {
	[ ! -e "$PKI/$1.key" ] || return 0
	case $2 in
	rsa) openssl genrsa -out "$PKI/$1.key" 2048 ;;
	ec384) openssl ecparam -name secp384r1 -genkey -noout -out "$PKI/$1.key" ;;
	*) openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$1.key" ;;
	esac 2> /dev/null
}
pki_root() {
	pki_key $1
	openssl req -x509 -new -key "$PKI/$1.key" -subj "/CN=$1" -days 3650 -out "$PKI/$1.pem" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}
pki_issue() { # NAME ISSUER EXTENSIONS CSR [openssl x509 options]
	openssl x509 -req -in "$4" -CA "$PKI/$2.pem" -CAkey "$PKI/$2.key" \
		-set_serial 0x$(openssl rand -hex 12) -extfile <(printf "$3") \
		-out "$PKI/$1.pem" "${@:5}" 2> "$PKI/err"
}
pki_request() { # NAME: NAME.csr
	openssl req -new -key "$PKI/$1.key" -subj "/CN=$1" -out "$PKI/$1.csr"
}
pki_ca() {
	pki_key $1 && pki_request $1 &&
		pki_issue $1 $2 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' \
			"$PKI/$1.csr" -days 1825 "${@:3}"
}
PKI_LEAF='basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n'
pki_cert() {
	pki_key $1 && pki_request $1 &&
		pki_issue $1 $2 "${PKI_LEAF}subjectAltName=$3\n" "$PKI/$1.csr" -days 90 "${@:4}"
}
pki_sign() {
	local san
	san=$(openssl req -in "$3" -noout -text | sed -n '/Subject Alternative Name/{n;s/^ *//;s/IP Address:/IP:/g;p}')
	pki_issue $1 $2 "${PKI_LEAF}${san:+subjectAltName=$san\n}" "$3" -days 90 "${@:4}"
}
pki_live() { # DIR NAME CA...
	local dir=$1 name=$2 f; shift 2
	{ cat "$PKI/$name.key" "$PKI/$name.pem"; for f; do cat "$PKI/$f.pem"; done; } > "$dir/new.tmp" &&
		chmod 600 "$dir/new.tmp" && mv "$dir/new.tmp" "$dir/live.pem"
}
# What a client sees: the issuer's CN of what SERVER:PORT shows.
served() { # [openssl s_client options]
	in_client timeout 5 openssl s_client -connect "$SERVER:$PORT" "$@" < /dev/null 2> /dev/null |
		openssl x509 -noout -issuer -nameopt multiline 2> /dev/null | sed -n 's/ *commonName *= //p'
}
served_is() { [ "$(served "${@:2}")" = "$1" ]; }

certs_up() { hasync_up && vpnd_up "$@" && acmed_up; } # [CONFIG]
declare -A certs_ping
echoes_start() {
	bg_ns $1 ping -n -i 0.05 -W 1 10.10.0.100 > "$LAB/$1.echoes" 2>&1
	certs_ping[$1]=$BG
}
echoes_lost() {
	kill -INT ${certs_ping[$1]}; within 3 test ! -e /proc/${certs_ping[$1]}
	awk -F'icmp_seq=' '/bytes from/ { n++; split($2, a, " "); if (a[1] > m) m = a[1] }
		END { print n ? m - n : "all" }' "$LAB/$1.echoes"
}
cert() { SAID=$(ctl cert "$@" 2>&1); }
