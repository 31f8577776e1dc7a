/* SPDX-License-Identifier: Apache-2.0 */
/* Errors carry their code and a sentence whose end is never lost. */
#include "base/error.h"
#include "check.h"

#include <stdio.h>

static void test_the_code_is_returned_with_or_without_an_error(void **state)
{
    (void)state;
    pinfold_error error;
    assert_int_equal(error_set(NULL, -EINVAL, "%d", 1), -EINVAL);
    assert_int_equal(error_errno(NULL, -EINVAL, "%d", 1), -EINVAL);
    assert_int_equal(error_text(NULL, -EINVAL, "x", 1), -EINVAL);
    assert_int_equal(error_set(&error, -EPERM, "no"), -EPERM);
    assert_int_equal(error.code, -EPERM);
}

static void test_the_sentence_is_as_it_was_written(void **state)
{
    (void)state;
    pinfold_error error;
    error_set(&error, -EINVAL, "%s is %d", "x", 7);
    assert_string_equal(error.text, "x is 7");
    error_errno(&error, -ENOENT, "cannot open %s", "/x");
    assert_string_equal(error.text, "cannot open /x: No such file or directory");
    error_text(&error, -EIO, "not\0terminated", 3);
    assert_string_equal(error.text, "not");
}

static void test_a_sentence_that_is_too_long_keeps_its_end(void **state)
{
    (void)state;
    static char text[3 * sizeof(((pinfold_error *)0)->text)];
    pinfold_error error;
    for (size_t size = sizeof(error.text) - 3; size < sizeof(text) - 1;
         size += size < sizeof(error.text) ? 1 : 997) {
        memset(text, 'a', size);
        memcpy(text + size - 3, "end", 4);
        size_t kept = size < sizeof(error.text) ? size : sizeof(error.text) - 1;
        memset(&error, 'z', sizeof(error));
        error_text(&error, -EIO, text, size);
        assert_int_equal(strlen(error.text), kept);
        assert_string_equal(error.text, text + size - kept);

        memset(&error, 'z', sizeof(error));
        error_set(&error, -EIO, "%s", text);
        assert_int_equal(strlen(error.text), kept);
        assert_string_equal(error.text, text + size - kept);

        memset(&error, 'z', sizeof(error));
        error_errno(&error, -EMFILE, "%s", text);
        static const char end[] = "end: Too many open files";
        assert_string_equal(error.text + strlen(error.text) - strlen(end), end);
    }
}

/* Texts are UTF-8: a cut never leaves part of a character. */
static void test_a_cut_does_not_split_a_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x90\x91"};
    static char text[2 * sizeof(((pinfold_error *)0)->text)];
    for (size_t i = 0; i < COUNT_OF(characters); i++) {
        size_t width = strlen(characters[i]);
        for (size_t extra = 0; extra < width; extra++) {
            size_t size = 0;
            while (size + width < sizeof(text) - 8)
                size += (size_t)sprintf(text + size, "%s", characters[i]);
            for (size_t k = 0; k < extra; k++)
                text[size++] = '.';
            pinfold_error error;
            error_text(&error, -EIO, text, size);
            assert_memory_equal(error.text, characters[i], width);
            assert_true(strlen(error.text) > sizeof(error.text) - 1 - width);
        }
    }
    /* Bytes that are not UTF-8 are kept as they are. */
    memset(text, '\x80', sizeof(text));
    pinfold_error error;
    error_text(&error, -EIO, text, sizeof(text));
    assert_true(strlen(error.text) >= sizeof(error.text) - 4);
}

static void test_every_outcome_has_its_word(void **state)
{
    (void)state;
    static const char *const words[] = {"ok",         "exception", "exited",       "signalled",
                                        "timeout",    "cpu_limit", "memory_limit", "output_limit",
                                        "bad_result", "cancelled", "lost",         "internal"};
    assert_int_equal(COUNT_OF(words), PINFOLD_OUTCOMES);
    for (uint32_t i = 0; i < PINFOLD_OUTCOMES; i++)
        assert_string_equal(pinfold_outcome_name(i), words[i]);
    assert_null(pinfold_outcome_name(PINFOLD_OUTCOMES));
    assert_null(pinfold_outcome_name(UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_code_is_returned_with_or_without_an_error),
        cmocka_unit_test(test_the_sentence_is_as_it_was_written),
        cmocka_unit_test(test_a_sentence_that_is_too_long_keeps_its_end),
        cmocka_unit_test(test_a_cut_does_not_split_a_character),
        cmocka_unit_test(test_every_outcome_has_its_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
