/* fault.c - one line that says what went wrong */
#include "simlane/fault.h"

#include <stdio.h>

int fault_set(struct fault *f, const char *format, ...)
{
	if (f) {
		va_list args;
		va_start(args, format);
		int n = vsnprintf(f->text, sizeof(f->text), format, args);
		va_end(args);
		if (n < 0)
			f->text[0] = '\0';
		for (char *c = f->text; *c; c++)
			if ((unsigned char)*c < 0x20 || *c == 0x7f)
				*c = ' ';
	}
	return -1;
}
