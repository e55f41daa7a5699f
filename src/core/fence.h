// The include fence. core/, net/ and gateway/ are plain C++20: they must compile without the
// server's headers and never after them (postgres.h redefines printf, elog levels and more).
// Every header of those folders includes this file, so a slip fails the build.
#pragma once
#ifdef POSTGRES_H
#error "include headers of core/, net/ and gateway/ before the server's headers"
#endif
