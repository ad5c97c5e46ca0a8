/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "ddns/provider.h"
#include "common/err.h"
static int
none(struct call **out, const struct provider_ask *ask)
{
	return E_INVAL;
}
const struct provider provider_dyndns2 = {
	.name = "dyndns2", .read = none, .write = none, .remove = none
};
