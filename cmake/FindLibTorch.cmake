# SPDX-FileCopyrightText: 2026 The wanlite authors
# SPDX-License-Identifier: Apache-2.0
#
# Finds LibTorch without Torch's own CMake config, which insists on a CUDA toolkit whenever the wheel
# was built with CUDA and puts its options into global flags (docs/decisions/0002-own-find-libtorch.md).
#
#   LibTorch_ROOT, Torch_DIR, CMAKE_PREFIX_PATH   where to look (…/torch, …/torch/share/cmake/Torch)
#
# Targets: LibTorch::cpu (libtorch_cpu, libc10) and, when the wheel holds them, LibTorch::cuda.
# Neither links libtorch.so: that one needs libtorch_cuda and would load CUDA into every process.
set(_libtorch_hints ${LibTorch_ROOT})
if(Torch_DIR)
  list(APPEND _libtorch_hints ${Torch_DIR}/../../..)
endif()
foreach(_prefix IN LISTS CMAKE_PREFIX_PATH)
  list(APPEND _libtorch_hints ${_prefix} ${_prefix}/../.. ${_prefix}/torch)
endforeach()
foreach(_hint IN LISTS _libtorch_hints)
  if(EXISTS ${_hint}/include/ATen/ATen.h)
    get_filename_component(LibTorch_PREFIX ${_hint} REALPATH)
    break()
  endif()
endforeach()

if(LibTorch_PREFIX)
  set(LibTorch_INCLUDE_DIRS ${LibTorch_PREFIX}/include
                            ${LibTorch_PREFIX}/include/torch/csrc/api/include)
  find_library(LibTorch_CPU_LIBRARY torch_cpu PATHS ${LibTorch_PREFIX}/lib NO_DEFAULT_PATH)
  find_library(LibTorch_C10_LIBRARY c10 PATHS ${LibTorch_PREFIX}/lib NO_DEFAULT_PATH)
  find_library(LibTorch_CUDA_LIBRARY torch_cuda PATHS ${LibTorch_PREFIX}/lib NO_DEFAULT_PATH)
  find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda PATHS ${LibTorch_PREFIX}/lib NO_DEFAULT_PATH)
  mark_as_advanced(LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_CUDA_LIBRARY
                   LibTorch_C10_CUDA_LIBRARY)
  if(EXISTS ${LibTorch_PREFIX}/include/torch/headeronly/version.h)
    file(STRINGS ${LibTorch_PREFIX}/include/torch/headeronly/version.h _version
         REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
    string(REGEX REPLACE "[^0-9;]" "" _version "${_version}")
    list(JOIN _version "." LibTorch_VERSION)
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_PREFIX LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "set LibTorch_ROOT to a LibTorch folder (the torch package of a Python wheel will do)")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION ${LibTorch_C10_LIBRARY})
  add_library(LibTorch::cpu SHARED IMPORTED)
  set_target_properties(LibTorch::cpu PROPERTIES
    IMPORTED_LOCATION ${LibTorch_CPU_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_INCLUDE_DIRS}"
    INTERFACE_LINK_LIBRARIES LibTorch::c10)
  # libtorch_cpu finds its own needs by RPATH; the linker must not chase them.
  target_link_options(LibTorch::cpu INTERFACE -Wl,--allow-shlib-undefined)
  if(LibTorch_CUDA_LIBRARY AND LibTorch_C10_CUDA_LIBRARY)
    add_library(LibTorch::cuda SHARED IMPORTED)
    set_target_properties(LibTorch::cuda PROPERTIES
      IMPORTED_LOCATION ${LibTorch_CUDA_LIBRARY}
      INTERFACE_LINK_LIBRARIES "LibTorch::cpu;${LibTorch_C10_CUDA_LIBRARY}")
  endif()
endif()
