# BoringSSL from source, as crates.io keeps it: the crate boring-sys carries Google's tree of a known day unchanged. Debian's
# package is of 2022: it lacks what was mended since, and AES-GCM by VAES, which is four times as fast.
# Once for all presets, into build/boringssl-VERSION beside them: 90 s of two cores.

# Sets ROOT to a directory with include/ and lib/.
function(weir_make_boringssl root)
  set(version 5.4.0)
  set(sha256 4986392770df40d11d0d6294b0dd8399570f4a6e76d6953c7a34f7dd1defbd76)
  set(url https://static.crates.io/crates/boring-sys/boring-sys-${version}.crate)
  set(made ${CMAKE_SOURCE_DIR}/build/boringssl-${version})
  set(${root} ${made} PARENT_SCOPE)
  if(EXISTS ${made}/lib/libssl.a)
    return()
  endif()

  message(STATUS "Building BoringSSL in ${made}, once for all builds of this directory: about 90 s")
  foreach(try 1 2 3)
    file(DOWNLOAD ${url} ${made}.crate STATUS status TLS_VERIFY ON INACTIVITY_TIMEOUT 60)
    list(GET status 0 code)
    list(GET status 1 reason)
    if(code EQUAL 0)
      file(SHA256 ${made}.crate found)
      if(found STREQUAL sha256)
        break()
      endif()
      set(code 1)
      set(reason "its SHA-256 is ${found}, not ${sha256}")
    endif()
    file(REMOVE ${made}.crate)
  endforeach()
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${url} could not be fetched: ${reason}. Without a network, give a BoringSSL of your own "
                        "(include/ and lib/): cmake --preset release -DWEIR_BORINGSSL_ROOT=DIR")
  endif()

  # In a directory that gets its name when all is there: a build that was killed leaves nothing half done.
  set(work ${made}.part)
  file(REMOVE_RECURSE ${work})
  file(ARCHIVE_EXTRACT INPUT ${made}.crate DESTINATION ${work})
  set(source ${work}/boring-sys-${version}/deps/boringssl)
  # gcc, whatever the preset that comes first is for: sanitizers watch our own code. Sections, so that the linker leaves out
  # what nobody calls.
  set(flags "-O2 -DNDEBUG -g0 -ffunction-sections -fdata-sections")
  set(configure ${CMAKE_COMMAND} -S ${source} -B ${work}/build -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF
      -DCMAKE_C_COMPILER=gcc -DCMAKE_CXX_COMPILER=g++ -DCMAKE_POSITION_INDEPENDENT_CODE=ON
      "-DCMAKE_C_FLAGS_RELEASE=${flags}" "-DCMAKE_CXX_FLAGS_RELEASE=${flags}")
  if(WEIR_CCACHE)
    list(APPEND configure -DCMAKE_C_COMPILER_LAUNCHER=${WEIR_CCACHE} -DCMAKE_CXX_COMPILER_LAUNCHER=${WEIR_CCACHE})
  endif()
  set(build ${CMAKE_COMMAND} --build ${work}/build --target crypto --target ssl)
  foreach(step configure build)
    execute_process(COMMAND ${${step}} RESULT_VARIABLE code OUTPUT_FILE ${made}.log ERROR_FILE ${made}.log)
    if(NOT code EQUAL 0)
      message(FATAL_ERROR "BoringSSL: cannot ${step} it; ${made}.log says why")
    endif()
  endforeach()
  file(COPY ${source}/include ${source}/LICENSE DESTINATION ${work}/root)
  file(COPY ${work}/build/libssl.a ${work}/build/libcrypto.a DESTINATION ${work}/root/lib)
  file(RENAME ${work}/root ${made})
  file(REMOVE_RECURSE ${work} ${made}.crate)
endfunction()
