# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# raw.sh -- speaking to the server without openconnect: single requests, a scripted
# login, bytes of our own. Sourced after lab.sh; everything runs on c1.

https() { # PATH [curl options]: the body on stdout
	local path=$1; shift
	in_client curl -sk --max-time 10 "$@" "https://$SERVER:$PORT$path"
}
https_code() { local path=$1; shift; https "$path" -o /dev/null -w '%{http_code}' "$@"; }
# Bytes of our own inside TLS; what comes back on stdout.
tls_send() { # [s_client options] < BYTES
	{ cat; sleep "${TLS_WAIT:-1}"; } | in_client timeout "${TLS_MAX:-2}" openssl s_client \
		-connect "$SERVER:$PORT" -quiet "$@" 2> /dev/null
}
tls_handshake() { # s_client options: succeeds if a session comes about
	in_client timeout 5 openssl s_client -connect "$SERVER:$PORT" "$@" < /dev/null 2>&1 |
		grep -E '^New, (TLSv1\.[23]), Cipher is [A-Z]'
}

xml_post() { # PATH, body on stdin
	https "$1" --data-binary @- -H 'X-Transcend-Version: 1' -H 'X-Aggregate-Auth: 1' \
		-H 'User-Agent: Open AnyConnect VPN Agent v9.01-3' \
		-H 'Content-Type: application/xml; charset=utf-8' "${@:2}"
}
XML_VERSION=v9.01-3
xml_init() { # [EXTRA ELEMENTS]
	echo '<?xml version="1.0" encoding="UTF-8"?>'
	echo "<config-auth client=\"vpn\" type=\"init\" aggregate-auth-version=\"2\"><version who=\"vpn\">$XML_VERSION</version><device-id>linux-64</device-id><group-access>https://$SERVER/</group-access>$1</config-auth>"
}
xml_reply() { # USER PASSWORD ANSWER-BEFORE: with the opaque of that answer
	local opaque; opaque=$(tr -d '\n' <<< "$3" | grep -o '<opaque.*</opaque>')
	echo '<?xml version="1.0" encoding="UTF-8"?>'
	echo "<config-auth client=\"vpn\" type=\"auth-reply\" aggregate-auth-version=\"2\"><version who=\"vpn\">$XML_VERSION</version><device-id>linux-64</device-id>$opaque<auth><username>$1</username><password>$2</password></auth></config-auth>"
}
raw_login() { # USER PASSWORD: the last answer
	local form; form=$(xml_init | xml_post /)
	xml_reply "$1" "$2" "$form" | xml_post / "${@:3}"
}
raw_token() { # USER PASSWORD
	raw_login "$@" | grep -o '<session-token>[^<]*' | sed 's/.*>//'
}
raw_request() { # TOKEN [HEADER LINES...]: a CONNECT with this token
	local token=$1 h; shift
	printf 'CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: vpn\r\n'
	printf 'User-Agent: Open AnyConnect VPN Agent v9.01-3\r\n'
	printf 'Cookie: webvpn=%s\r\nX-CSTP-Version: 1\r\nX-CSTP-Base-MTU: 1500\r\n' "$token"
	printf 'X-CSTP-MTU: 1390\r\nX-CSTP-Address-Type: IPv6,IPv4\r\n'
	printf 'X-CSTP-Full-IPv6-Capability: true\r\n'
	for h; do printf '%s\r\n' "$h"; done
	printf '\r\n'
}
# The status line and headers that answer it.
raw_connect() { raw_request "$@" | tls_send | tr -d '\r\0'; }
