# The proxy is optimised by what it did under the benchmark's loads: weir-proxy.proftext, counts of how often which branch
# was taken, is read by clang wherever a release is built, and functions are inlined across files when weir-proxy is linked
# (ThinLTO). bench/README.md says what it brings. `./dev profile` takes the counts anew; functions that have changed since
# are compiled without. Tests link the same objects, without the second step, which takes its time for each program.
#
# Sets weir_profile_compile, weir_profile_link (of weir-proxy alone); empty for other builds and compilers.
set(WEIR_PROFILE "use" CACHE STRING "Of a release by clang: `use` the profile, `generate` one in build/PRESET/profile, or `off`")
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR NOT CMAKE_BUILD_TYPE STREQUAL "Release" OR WEIR_SANITIZE)
  return()
endif()
# Functions of one file are counted under the file's name without its path, so that any checkout finds them.
set(weir_profile_names -mllvm -static-func-full-module-prefix=false)
if(WEIR_PROFILE STREQUAL "generate")
  set(weir_profile_link -fprofile-generate=${CMAKE_BINARY_DIR}/profile)
  set(weir_profile_compile ${weir_profile_link} -fprofile-update=atomic ${weir_profile_names})
elseif(WEIR_PROFILE STREQUAL "use")
  set(profile_text ${CMAKE_CURRENT_LIST_DIR}/weir-proxy.proftext)
  set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${profile_text})
  find_program(WEIR_PROFDATA NAMES llvm-profdata-19 llvm-profdata)
  weir_need(WEIR_PROFDATA "llvm-profdata" llvm-19)
  # Its content is in its name: another profile, and all that was compiled with it is compiled anew.
  file(SHA256 ${profile_text} profile_hash)
  string(SUBSTRING ${profile_hash} 0 12 profile_hash)
  set(profile ${CMAKE_BINARY_DIR}/weir-proxy-${profile_hash}.profdata)
  if(NOT EXISTS ${profile})
    execute_process(COMMAND ${WEIR_PROFDATA} merge -o ${profile} ${profile_text} COMMAND_ERROR_IS_FATAL ANY)
  endif()
  set(weir_profile_compile -fprofile-use=${profile} ${weir_profile_names} -flto=thin -ffat-lto-objects
      -Wno-profile-instr-unprofiled -Wno-profile-instr-out-of-date -Wno-backend-plugin)
  set(weir_profile_link -flto=thin -ffat-lto-objects -Wl,--thinlto-cache-dir=${CMAKE_BINARY_DIR}/thinlto)
elseif(NOT WEIR_PROFILE STREQUAL "off")
  message(FATAL_ERROR "WEIR_PROFILE is `${WEIR_PROFILE}`: use, generate or off")
endif()
