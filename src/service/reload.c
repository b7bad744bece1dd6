/* reload.c - policy, keyring and revocations, read again while requests run */
#include <string.h>

#include "internal.h"

#define MAX_FILE_BYTES (4 << 20)

static struct log *told(const struct service *s)
{
	return s->serving ? s->options.log : NULL;
}

static int load_policy(struct service *s, struct span text, struct fault *fault)
{
	struct policy *p = policy_load(text.ptr ? text : policy_default_text(), fault);
	if (!p)
		return -1;
	LOG(told(s), LOG_INFO, "policy", LOG_STR("version", policy_version(p)),
	    LOG_INT("rules", (int64_t)policy_rule_count(p)));
	snapshot_swap(&s->policies, policy_ref(p));
	return 0;
}

static int load_keyring(struct service *s, struct span text, struct fault *fault)
{
	int keys = verifier_load_keyring(s->options.verifier, text, fault);
	if (keys < 0)
		return -1;
	LOG(told(s), LOG_INFO, "keyring", LOG_INT("keys", keys));
	return 0;
}

static int load_revoked(struct service *s, struct span text, struct fault *fault)
{
	int entries = verifier_load_revoked(s->options.verifier, text, fault);
	if (entries < 0)
		return -1;
	LOG(told(s), LOG_INFO, "revoked", LOG_INT("entries", entries));
	return 0;
}

/* Reads one file into force. The stamp is taken first: a change that comes
 * while it is read is seen the next time. */
static int load_file(struct service *s, struct watched_file *f,
                     int (*load)(struct service *, struct span, struct fault *), struct fault *fault)
{
	struct buf text = BUF_EMPTY;
	if (!f->path)
		return load(s, (struct span){NULL, 0}, fault);
	file_stamp(f->path, &f->stamp);
	struct fault inner = {""};
	int result = file_load(f->path, MAX_FILE_BYTES, &text, &inner);
	if (result != 0) {
		fault_set(fault, "%s: %s", f->setting, inner.text);
	} else {
		result = load(s, (struct span){text.ptr ? text.ptr : "", text.len}, &inner);
		if (result != 0)
			fault_set(fault, "%s: %s: %s", f->setting, f->path, inner.text);
	}
	buf_free(&text);
	return result;
}

int reload_all(struct service *s, struct fault *fault)
{
	if (load_file(s, &s->policy_file, load_policy, fault) != 0 ||
	    load_file(s, &s->keyring_file, load_keyring, fault) != 0 ||
	    load_file(s, &s->revoked_file, load_revoked, fault) != 0)
		return -1;
	return 0;
}

static bool changed(const struct watched_file *f)
{
	struct file_stamp now;
	if (!f->path)
		return false;
	file_stamp(f->path, &now);
	return !file_stamp_equal(&now, &f->stamp);
}

void service_reload(struct service *s, bool only_changed)
{
	const struct {
		const char *what;
		struct watched_file *file;
		int (*load)(struct service *, struct span, struct fault *);
	} files[] = {
	        {"policy", &s->policy_file, load_policy},
	        {"keyring", &s->keyring_file, load_keyring},
	        {"revoked", &s->revoked_file, load_revoked},
	};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct fault fault = {""};
		if (only_changed ? !changed(files[i].file) : !files[i].file->path)
			continue;
		if (load_file(s, files[i].file, files[i].load, &fault) == 0) {
			count_up(&s->reloads_ok);
		} else {
			count_up(&s->reloads_failed);
			LOG(s->options.log, LOG_ERROR, "reload-failed", LOG_STR("what", files[i].what),
			    LOG_STR("reason", fault.text), LOG_STR("in_force", "the old one"));
		}
	}
}
