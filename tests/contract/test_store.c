/*
 * test_store - one suite that takes the store's interface, run on every backend
 */
#include "harness.h"

int main(void)
{
	Suite *s = suite_create("store");
	SRunner *runner;
	int failed;

	harness_begin();
	suite_add_tcase(s, case_states());
	suite_add_tcase(s, case_content());
	suite_add_tcase(s, case_life());
	suite_add_tcase(s, case_limits());
	suite_add_tcase(s, case_races());
	suite_add_tcase(s, case_watches());
	suite_add_tcase(s, case_batch());
	suite_add_tcase(s, case_together());
	suite_add_tcase(s, case_restart());
	suite_add_tcase(s, case_shared());
	suite_add_tcase(s, case_shared_races());
	suite_add_tcase(s, case_failing());
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	harness_end();
	return failed ? 1 : 0;
}
