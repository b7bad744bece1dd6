/* test_token_cache - a verdict is kept, and never outlives what it rests on */
#include <pthread.h>

#include "token_fixture.h"

static struct fixture fixture;
static struct buf token;

static void set_up(void)
{
	fixture_open(&fixture, NULL, 64, "");
	token = BUF_EMPTY;
	sign_paseto(fixture.seed, span_of("{" WHO EXP ",\"scope\":\"consciousness.simulation.collect\"}"), FOOTER,
	            &token);
}

static void tear_down(void)
{
	buf_free(&token);
	fixture_close(&fixture);
}

struct seen {
	enum token_verdict verdict;
	bool cached;
};

static struct seen look(const struct buf *t)
{
	const struct claims *claims = NULL;
	struct seen seen;

	seen.verdict = token_verify(fixture.verifier, (struct span){t->ptr, t->len}, &claims, &seen.cached);
	ck_assert_int_eq(claims != NULL, seen.verdict == TOKEN_VALID);
	claims_let_go(claims);
	return seen;
}

static void ck_seen(const struct buf *t, enum token_verdict verdict, bool cached)
{
	struct seen seen = look(t);

	ck_verdict(seen.verdict, verdict, "token");
	ck_assert_int_eq(seen.cached, cached);
}

START_TEST(a_token_is_verified_once)
{
	const struct claims *first = NULL, *second = NULL;
	bool cached;

	token_verify(fixture.verifier, (struct span){token.ptr, token.len}, &first, &cached);
	ck_assert(!cached);
	token_verify(fixture.verifier, (struct span){token.ptr, token.len}, &second, &cached);
	ck_assert(cached);
	ck_assert_ptr_eq(first, second);
	claims_let_go(first);
	claims_let_go(second);
}
END_TEST

START_TEST(only_good_verdicts_are_kept)
{
	token.ptr[20] ^= 1;
	ck_assert_int_ne(look(&token).verdict, TOKEN_VALID);
	ck_assert(!look(&token).cached);
	token.ptr[20] ^= 1;
	ck_seen(&token, TOKEN_VALID, false);
	token.len--;
	ck_assert_int_ne(look(&token).verdict, TOKEN_VALID);
}
END_TEST

START_TEST(no_verdict_is_kept_beyond_exp)
{
	ck_seen(&token, TOKEN_VALID, false);
	atomic_store(&fixture.clock.now_ms, NOW_MS + 3600000 - 1);
	ck_seen(&token, TOKEN_VALID, true);
	atomic_store(&fixture.clock.now_ms, NOW_MS + 3600000);
	ck_seen(&token, TOKEN_VALID, false); /* within the skew, but looked at anew */
	ck_seen(&token, TOKEN_VALID, false);
	atomic_store(&fixture.clock.now_ms, NOW_MS + 3600000 + SKEW_MS);
	ck_seen(&token, TOKEN_EXPIRED, false);
}
END_TEST

START_TEST(a_clock_set_back_makes_a_kept_token_not_yet_valid)
{
	struct buf later = BUF_EMPTY;

	sign_paseto(fixture.seed, span_of("{" WHO EXP ",\"nbf\":\"2026-01-01T00:00:00Z\"}"), FOOTER, &later);
	ck_seen(&later, TOKEN_VALID, false);
	ck_seen(&later, TOKEN_VALID, true);
	atomic_store(&fixture.clock.now_ms, NOW_MS - SKEW_MS - 1);
	ck_seen(&later, TOKEN_NOT_YET_VALID, false);
	buf_free(&later);
}
END_TEST

START_TEST(a_new_keyring_holds_at_once)
{
	ck_seen(&token, TOKEN_VALID, false);
	ck_seen(&token, TOKEN_VALID, true);
	fixture_load(&fixture, fixture.seed, ""); /* the same keys: verified anew all the same */
	ck_seen(&token, TOKEN_VALID, false);
	ck_seen(&token, TOKEN_VALID, true);
	fixture_load(&fixture, fixture.other_seed, "");
	ck_seen(&token, TOKEN_BAD_SIGNATURE, false);
	fixture_load(&fixture, fixture.seed, ",\"simlane_tenants\":[\"acme\"]");
	ck_seen(&token, TOKEN_WRONG_TENANT, false);
	verifier_load_keyring(fixture.verifier, span_of("{\"keys\":[]}"), NULL);
	ck_seen(&token, TOKEN_UNKNOWN_KEY, false);
}
END_TEST

START_TEST(a_revocation_holds_at_once)
{
	ck_seen(&token, TOKEN_VALID, false);
	ck_seen(&token, TOKEN_VALID, true);
	verifier_load_revoked(fixture.verifier, span_of("j\n"), NULL);
	ck_seen(&token, TOKEN_REVOKED, false);
	ck_seen(&token, TOKEN_REVOKED, false);
	verifier_load_revoked(fixture.verifier, span_of(""), NULL);
	ck_seen(&token, TOKEN_VALID, false);
}
END_TEST

START_TEST(a_broken_reload_keeps_the_verdicts)
{
	ck_seen(&token, TOKEN_VALID, false);
	ck_assert_int_eq(verifier_load_keyring(fixture.verifier, span_of("{"), NULL), -1);
	ck_assert_int_eq(verifier_load_revoked(fixture.verifier, span_of("sub:"), NULL), -1);
	ck_seen(&token, TOKEN_VALID, true);
}
END_TEST

START_TEST(the_cache_is_bounded_and_what_is_in_use_stays)
{
	int hits = 0;

	for (int i = 0; i < 2000; i++) {
		struct buf other = BUF_EMPTY;
		char payload[128];

		snprintf(payload, sizeof(payload), "{\"iss\":\"i\",\"sub\":\"s\",\"jti\":\"%d\"" EXP "}", i);
		sign_paseto(fixture.seed, span_of(payload), FOOTER, &other);
		ck_seen(&other, TOKEN_VALID, false);
		buf_free(&other);
		hits += look(&token).cached;
	}
	ck_assert_int_ge(hits, 1995);
}
END_TEST

START_TEST(a_second_look_sees_what_has_changed_meanwhile)
{
	const struct claims *claims = NULL;

	token_verify(fixture.verifier, (struct span){token.ptr, token.len}, &claims, NULL);
	ck_verdict(token_recheck(fixture.verifier, claims), TOKEN_VALID, "at first");
	verifier_load_revoked(fixture.verifier, span_of("sub:s"), NULL);
	ck_verdict(token_recheck(fixture.verifier, claims), TOKEN_REVOKED, "revoked");
	verifier_load_revoked(fixture.verifier, span_of(""), NULL);
	fixture_load(&fixture, fixture.seed, ",\"simlane_scopes\":[]");
	ck_verdict(token_recheck(fixture.verifier, claims), TOKEN_UNKNOWN_KEY, "fewer scopes");
	fixture_load(&fixture, fixture.seed, ",\"simlane_iss\":\"other\"");
	ck_verdict(token_recheck(fixture.verifier, claims), TOKEN_UNKNOWN_KEY, "another issuer");
	verifier_load_keyring(fixture.verifier, span_of("{\"keys\":[]}"), NULL);
	ck_verdict(token_recheck(fixture.verifier, claims), TOKEN_UNKNOWN_KEY, "key gone");
	fixture_load(&fixture, fixture.seed, "");
	atomic_store(&fixture.clock.now_ms, NOW_MS + 3600000 + SKEW_MS - 1);
	ck_verdict(token_recheck(fixture.verifier, claims), TOKEN_VALID, "the last millisecond");
	atomic_store(&fixture.clock.now_ms, NOW_MS + 3600000 + SKEW_MS);
	ck_verdict(token_recheck(fixture.verifier, claims), TOKEN_EXPIRED, "over");
	claims_let_go(claims);
}
END_TEST

START_TEST(claims_outlive_the_verifier)
{
	const struct claims *claims = NULL;

	token_verify(fixture.verifier, (struct span){token.ptr, token.len}, &claims, NULL);
	verifier_free(fixture.verifier);
	fixture.verifier = NULL;
	ck_assert_str_eq(claims->sub, "s");
	ck_assert_str_eq(claims->kid, "k1");
	claims_let_go(claims);
}
END_TEST

/* ---- many threads ---- */

#define TOKENS 120 /* more than the cache holds */

static struct buf tokens[TOKENS];
static atomic_bool over;
/* even: not revoked since the load of that number came back; odd: loading or revoked */
static atomic_int phase;

static void *verify_all_the_time(void *arg)
{
	long wrong = 0;

	(void)arg;
	for (unsigned i = 0; !atomic_load(&over); i++) {
		const struct claims *claims = NULL;
		struct buf *t = &tokens[i % TOKENS];
		int before = atomic_load(&phase);
		enum token_verdict verdict =
		        token_verify(fixture.verifier, (struct span){t->ptr, t->len}, &claims, NULL);
		int after = atomic_load(&phase);

		if (claims != NULL) {
			wrong += strcmp(claims->sub, "s") != 0;
			token_recheck(fixture.verifier, claims);
		}
		claims_let_go(claims);
		/* phase % 4: 0 free, 1 on its way to revoked, 2 revoked, 3 on its way to free */
		if (before == after && before % 4 == 2)
			wrong += verdict != TOKEN_REVOKED;
		if (before == after && before % 4 == 0)
			wrong += verdict != TOKEN_VALID;
	}
	return (void *)wrong;
}

START_TEST(a_reload_holds_for_every_thread_the_moment_it_returns)
{
	pthread_t threads[4];

	for (int i = 0; i < TOKENS; i++) {
		char payload[128];

		tokens[i] = BUF_EMPTY;
		snprintf(payload, sizeof(payload), "{\"iss\":\"i\",\"sub\":\"s\",\"jti\":\"%d\"" EXP "}", i);
		sign_paseto(fixture.seed, span_of(payload), FOOTER, &tokens[i]);
	}
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, verify_all_the_time, NULL), 0);
	for (int round = 0; round < 100; round++) {
		atomic_fetch_add(&phase, 1);
		ck_assert_int_eq(verifier_load_revoked(fixture.verifier, span_of("sub:s\n"), NULL), 1);
		atomic_fetch_add(&phase, 1);
		sched_yield();
		fixture_load(&fixture, fixture.seed, "");
		atomic_fetch_add(&phase, 1);
		ck_assert_int_eq(verifier_load_revoked(fixture.verifier, span_of(""), NULL), 0);
		atomic_fetch_add(&phase, 1);
		sched_yield();
	}
	atomic_store(&over, true);
	for (size_t i = 0; i < 4; i++) {
		void *wrong = NULL;

		ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
		ck_assert_ptr_null(wrong);
	}
	for (int i = 0; i < TOKENS; i++)
		buf_free(&tokens[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token cache");
	TCase *all = tcase_create("all");

	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_set_timeout(all, 120);
	tcase_add_test(all, a_token_is_verified_once);
	tcase_add_test(all, only_good_verdicts_are_kept);
	tcase_add_test(all, no_verdict_is_kept_beyond_exp);
	tcase_add_test(all, a_clock_set_back_makes_a_kept_token_not_yet_valid);
	tcase_add_test(all, a_new_keyring_holds_at_once);
	tcase_add_test(all, a_revocation_holds_at_once);
	tcase_add_test(all, a_broken_reload_keeps_the_verdicts);
	tcase_add_test(all, the_cache_is_bounded_and_what_is_in_use_stays);
	tcase_add_test(all, a_second_look_sees_what_has_changed_meanwhile);
	tcase_add_test(all, claims_outlive_the_verifier);
	tcase_add_test(all, a_reload_holds_for_every_thread_the_moment_it_returns);
	suite_add_tcase(suite, all);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
