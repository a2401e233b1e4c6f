// The main function of every Catch2 program of the tests.
//
// Concept: Catch2 2.13 is a header whose main takes ten seconds to compile, so it is compiled here, once.
// Owner: tests/CMakeLists.txt links it as weir_test_main. Thread: the test program's first. Lifetime: the program's.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
