// weir-keep PROGRAM [ARGUMENTS...]. See keep.h.
#include <cstdio>

#include "agent/keep/keep.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: weir-keep PROGRAM [ARGUMENTS...]\n", stderr);
    return 2;
  }
  return weir::keep::keep(argv + 1);
}
