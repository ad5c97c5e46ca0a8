/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
#include "vpnd/config/config.h"
#include "tests/lib/tap.h"
int main(int c, char **v)
{
	struct config_report r = {0}; struct config *k; char *t, *n = NULL;
	config_read(v[1], &t); if (c > 2) config_read(v[2], &n);
	int rc = config_load(&k, v[1], t, "node.conf", n, &r);
	printf("%d\n", rc);
	for (size_t i = 0; i < r.n; i++)
		printf("%s:%u: %s: %s%s\n", r.finding[i].file, r.finding[i].line, r.finding[i].setting, r.finding[i].is_warning?"warning: ":"", r.finding[i].text);
	config_report_free(&r); config_free(k); free(t); free(n);
}
