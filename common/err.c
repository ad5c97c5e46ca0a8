/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "common/err.h"

#include <string.h>

const char *
err_text(int rc)
{
	switch (rc) {
	case 0: return "ok";
	case E_AGAIN: return "not ready";
	case E_PROTO: return "protocol violation";
	case E_NOMEM: return "out of memory";
	case E_LIMIT: return "limit reached";
	case E_AUTH: return "does not verify";
	case E_STALE: return "gone";
	case E_EXIST: return "already exists";
	case E_NOENT: return "not found";
	case E_INVAL: return "invalid";
	case E_TLS: return "TLS error";
	case E_CLOSED: return "closed by the peer";
	default: return rc < 0 && rc > -4096 ? strerror(-rc) : "unknown error";
	}
}
