/*
 * ascii - one look over a text: is it plain, so that all its views are one?
 *
 * Most texts are ASCII without runs of white space and without letters that
 * stand alone side by side. For those the folded view is the text in lower
 * case, no character has a look-alike and there is nothing to close up: every
 * other view would be the same bytes. This look finds them at about a byte a
 * cycle, writes their lower case, and sends everything else the long way.
 */
#ifndef POLICY_ASCII_H
#define POLICY_ASCII_H

#include <stdbool.h>
#include <stddef.h>

/* Room that ascii_plain may write, whatever it returns. */
#define ASCII_ROOM(len) (((len) + 64) / 64 * 64)

/* True: the text is plain and lower[0..len) is its one view. False: undecided,
 * lower is scratch. */
bool ascii_plain(const char *text, size_t len, char *lower);

#endif
