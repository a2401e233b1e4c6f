// The closed vocabulary: labels are unique and fit for metrics, sentences are there, errno maps as
// documented.
#include "nodeproxy/base/error.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <set>

using namespace weir;

TEST_CASE("every reason has a label of its own, in snake case, and a sentence") {
  std::set<std::string_view> labels;
  for (int i = 0; i < kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    CHECK(labels.insert(label(reason)).second);
    CHECK(label(reason).find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos);
    CHECK(sentence(reason).size() > 10);
  }
  CHECK(labels.size() == static_cast<size_t>(kReasonCount));
}

TEST_CASE("an errno becomes the reason an operator acts on") {
  struct Row {
    int os_code;
    Reason reason;
  };
  for (const Row& row : {Row{ECONNREFUSED, Reason::refused}, Row{ETIMEDOUT, Reason::connect_timeout},
                         Row{EHOSTUNREACH, Reason::unreachable}, Row{ENETUNREACH, Reason::unreachable},
                         Row{EMFILE, Reason::out_of_descriptors}, Row{ENOBUFS, Reason::out_of_memory},
                         Row{ECANCELED, Reason::cancelled}, Row{EBADF, Reason::io}, Row{0, Reason::none}}) {
    CAPTURE(row.os_code);
    CHECK(reason_of_errno(row.os_code) == row.reason);
  }
}

TEST_CASE("an error's description names where, why, the errno's text and the object") {
  const auto error = fail(Source::config, Reason::bad_config, "policy shop/web", EINVAL).error();
  const std::string text = error.describe();
  for (const char* part : {"config", "refused whole", "Invalid argument", "policy shop/web"}) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(error == Error{Source::config, Reason::bad_config, 0, {}});
}
