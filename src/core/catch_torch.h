// SPDX-FileCopyrightText: 2026 The wanlite authors
// SPDX-License-Identifier: Apache-2.0

// The border between code that throws (LibTorch, tensor math) and code that returns a Status. The
// only catch clauses of the library are here.
#ifndef WANLITE_SRC_CORE_CATCH_TORCH_H_
#define WANLITE_SRC_CORE_CATCH_TORCH_H_

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace wanlite {

// Payload of errors after which the device is unusable until the process restarts (a CUDA fault is
// sticky). Its value is the driver's error code.
inline constexpr char kDeviceLostPayload[] = "wanlite/device-lost";

namespace internal {

template <typename T>
struct IsStatusOr : std::false_type {};
template <typename T>
struct IsStatusOr<absl::StatusOr<T>> : std::true_type {};

inline absl::Status RunCatching(absl::FunctionRef<absl::Status()> run) {
  try {
    return run();
  } catch (const c10::OutOfMemoryError& e) {
    return absl::ResourceExhaustedError(e.what_without_backtrace());
  } catch (const c10::IndexError& e) {
    return absl::OutOfRangeError(e.what_without_backtrace());
  } catch (const c10::ValueError& e) {
    return absl::InvalidArgumentError(e.what_without_backtrace());
  } catch (const c10::TypeError& e) {
    return absl::InvalidArgumentError(e.what_without_backtrace());
  } catch (const c10::NotImplementedError& e) {
    return absl::UnimplementedError(e.what_without_backtrace());
  } catch (const c10::DistError& e) {
    return absl::UnavailableError(e.what_without_backtrace());
  } catch (const c10::AcceleratorError& e) {
    absl::Status status = absl::InternalError(e.what_without_backtrace());
    status.SetPayload(kDeviceLostPayload, absl::Cord(absl::StrCat(e.get_error_code())));
    return status;
  } catch (const c10::Error& e) {
    // The CPU allocator reports a failed allocation as a plain Error; its name in the message is
    // all that tells it from a failed check.
    const std::string what = e.what_without_backtrace();
    if (absl::StrContains(what, "DefaultCPUAllocator")) return absl::ResourceExhaustedError(what);
    return absl::InternalError(what);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory (std::bad_alloc)");
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

}  // namespace internal

// Calls `fn` and turns what it throws into a Status. `fn` may return void or absl::Status (the
// result is an absl::Status), or T or absl::StatusOr<T> (the result is an absl::StatusOr<T>).
//
//   OutOfMemoryError, bad_alloc -> ResourceExhausted   IndexError -> OutOfRange
//   ValueError, TypeError -> InvalidArgument           NotImplementedError -> Unimplemented
//   Dist*Error -> Unavailable                          AcceleratorError -> Internal, device lost
//   any other std::exception -> Internal
template <typename Fn>
auto CatchTorch(Fn&& fn) {
  using R = std::invoke_result_t<Fn&>;
  if constexpr (std::is_void_v<R>) {
    return internal::RunCatching([&] {
      fn();
      return absl::OkStatus();
    });
  } else if constexpr (std::is_same_v<R, absl::Status>) {
    return internal::RunCatching([&]() -> absl::Status { return fn(); });
  } else if constexpr (internal::IsStatusOr<R>::value) {
    R result = absl::UnknownError("CatchTorch: not run");
    absl::Status status = internal::RunCatching([&] {
      result = fn();
      return result.status();
    });
    return status.ok() ? std::move(result) : R(std::move(status));
  } else {
    std::optional<std::decay_t<R>> result;
    absl::Status status = internal::RunCatching([&] {
      result.emplace(fn());
      return absl::OkStatus();
    });
    using Result = absl::StatusOr<std::decay_t<R>>;
    return status.ok() ? Result(*std::move(result)) : Result(std::move(status));
  }
}

}  // namespace wanlite

#endif  // WANLITE_SRC_CORE_CATCH_TORCH_H_
