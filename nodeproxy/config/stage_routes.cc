// Route tables from the wire: rules, matches with their regular expressions compiled, and the index. As strict as the
// reader of policies: a table with fields this proxy does not know is refused, since a condition that is not understood
// would send requests where nobody wanted them.
// A regular expression is bounded twice, in its text and in the memory RE2 may use for it, and runs in time linear in
// what it is matched with. It sees bytes, not UTF-8: a '.' then matches whatever a client may send.
// Thread: config, pure.
#include <re2/re2.h>

#include <algorithm>

#include "nodeproxy/base/http_syntax.h"
#include "nodeproxy/config/stage_value.h"

namespace weir::config {
namespace {

constexpr uint32_t kWeightMax = 1'000'000;  // the Gateway API's
constexpr size_t kPathMaxBytes = 1024;      // likewise
constexpr size_t kValueMaxBytes = 4096;     // likewise
constexpr size_t kPatternMaxBytes = 4096;
constexpr int64_t kRegexMemoryMaxBytes = 1 << 20;
constexpr uint32_t kRegexesMax = 1000;  // of a table: with the above, what one service can cost
constexpr int kMatchesMax = 100'000;
constexpr int kRulesMax = 100'000;

// Reads one table; counts its regular expressions.
class Reader {
 public:
  Reader(RouteTable& into, std::string& wrong) : table_(into), wrong_(wrong) {}

  bool read(const v1::RouteTable& from);

 private:
  using Regex = std::shared_ptr<const re2::RE2>;
  bool fail(std::string text) {
    wrong_ = std::move(text);
    return false;
  }
  // The same, for what a reader below has found: the place goes before its words.
  bool within(const std::string& place) { return fail(fmt::format("{}.{}", place, wrong_)); }

  bool read_regex(const char* field, const std::string& pattern, Regex& into);
  bool read_value_match(const char* field, const v1::ValueMatch& from, ValueMatch& into);
  bool read_path(const v1::RouteMatch& from, RouteMatch& into);
  bool read_match(const v1::RouteMatch& from, RouteMatch& into);
  bool read_backend(const v1::Backend& from, Backend& into);
  bool read_persistence(const v1::SessionPersistence& from, SessionPersistence& into);
  bool read_rule(const v1::RouteRule& from, RouteRule& into);

  RouteTable& table_;
  std::string& wrong_;
  uint32_t regexes_ = 0;
};

bool Reader::read_regex(const char* field, const std::string& pattern, Regex& into) {
  if (++regexes_ > kRegexesMax)
    return fail(fmt::format("{}: more than {} regular expressions", field, kRegexesMax));
  if (pattern.size() > kPatternMaxBytes) {
    return fail(fmt::format("{}: a regular expression of {} bytes; {} at most", field, pattern.size(),
                            kPatternMaxBytes));
  }
  re2::RE2::Options options;
  options.set_max_mem(kRegexMemoryMaxBytes);
  options.set_encoding(re2::RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  options.set_log_errors(false);
  auto regex = std::make_shared<const re2::RE2>(pattern, options);
  if (!regex->ok())
    return fail(fmt::format("{}: '{}' is no regular expression (RE2): {}", field, pattern, regex->error()));
  into = std::move(regex);
  return true;
}

bool Reader::read_value_match(const char* field, const v1::ValueMatch& from, ValueMatch& into) {
  switch (from.value_case()) {
    case v1::ValueMatch::kRegex: return read_regex(field, from.regex(), into.regex);
    case v1::ValueMatch::kExact: break;
    case v1::ValueMatch::VALUE_NOT_SET: return fail(fmt::format("{}: '{}' has no value", field, from.name()));
  }
  into.exact = from.exact();
  if (into.exact.size() <= kValueMaxBytes) return true;
  return fail(fmt::format("{}: the value of '{}' is above {} bytes", field, from.name(), kValueMaxBytes));
}

bool Reader::read_path(const v1::RouteMatch& from, RouteMatch& into) {
  switch (from.path_case()) {
    case v1::RouteMatch::kPathRegex:
      into.path = RouteMatch::Path::regex;
      into.path_value = from.path_regex();
      return read_regex("path_regex", from.path_regex(), into.path_regex);
    case v1::RouteMatch::kPathExact:
      into.path = RouteMatch::Path::exact;
      into.path_value = from.path_exact();
      break;
    case v1::RouteMatch::kPathPrefix: into.path_value = from.path_prefix(); break;
    case v1::RouteMatch::PATH_NOT_SET: return true;  // every path
  }
  std::string instead;
  const auto fault = http_syntax::normalise_path(into.path_value, instead);
  if (fault != http_syntax::PathFault::none)
    return fail(fmt::format("path: '{}' {}", into.path_value, http_syntax::describe(fault)));
  if (into.path_value.size() > kPathMaxBytes)
    return fail(fmt::format("path: {} bytes; {} at most", into.path_value.size(), kPathMaxBytes));
  if (!instead.empty()) into.path_value = std::move(instead);
  if (into.path == RouteMatch::Path::prefix && into.path_value.size() > 1 && into.path_value.ends_with('/'))
    into.path_value.pop_back();
  return true;
}

bool Reader::read_match(const v1::RouteMatch& from, RouteMatch& into) {
  into.rule = from.rule();
  if (into.rule >= table_.rules.size())
    return fail(fmt::format("rule: {} of {} rules", into.rule, table_.rules.size()));
  if (!read_path(from, into)) return false;
  if (!from.method().empty() && !http_syntax::is_token(from.method()))
    return fail(fmt::format("method: '{}' is no method", from.method()));
  into.method = from.method();
  // Of several conditions on one name the first counts, as the Gateway API has it.
  for (const v1::ValueMatch& header : from.headers()) {
    ValueMatch read;
    if (!read_field_name("headers", header.name(), read.name, wrong_) ||
        !read_value_match("headers", header, read))
      return false;
    const auto same = [&](const ValueMatch& earlier) {
      return http_syntax::same_field(earlier.name, read.name);
    };
    if (std::none_of(into.headers.begin(), into.headers.end(), same)) into.headers.push_back(std::move(read));
  }
  for (const v1::ValueMatch& parameter : from.query()) {
    ValueMatch read;
    read.name = parameter.name();
    if (read.name.empty()) return fail("query: a parameter without a name");
    if (!read_value_match("query", parameter, read)) return false;
    const auto same = [&](const ValueMatch& earlier) { return earlier.name == read.name; };
    if (std::none_of(into.query.begin(), into.query.end(), same)) into.query.push_back(std::move(read));
  }
  const Filters& filters = table_.rules[into.rule].filters;
  const bool by_prefix = (filters.rewrite && filters.rewrite->path.to == PathModifier::To::prefix) ||
                         (filters.redirect && filters.redirect->path.to == PathModifier::To::prefix);
  if (by_prefix && into.path != RouteMatch::Path::prefix)
    return fail(fmt::format("path: rule {} replaces the matched prefix, and this is no prefix", into.rule));
  return true;
}

bool Reader::read_backend(const v1::Backend& from, Backend& into) {
  into.service = from.service();
  into.weight = from.weight();
  if (into.weight > kWeightMax) return fail(fmt::format("weight: {} is above {}", into.weight, kWeightMax));
  // An invalid reference has no service, and then no port that counts.
  if (!into.service.empty() && !read_port("port", from.port(), into.port, wrong_)) return false;
  return read_filters(from.filters(), into.filters, wrong_);
}

bool Reader::read_persistence(const v1::SessionPersistence& from, SessionPersistence& into) {
  switch (from.type()) {
    case v1::SessionPersistence::COOKIE: into.type = SessionPersistence::Type::cookie; break;
    case v1::SessionPersistence::HEADER: into.type = SessionPersistence::Type::header; break;
    default: return fail(fmt::format("type: {} is none this proxy knows", int{from.type()}));
  }
  if (into.type == SessionPersistence::Type::header) {
    if (!read_field_name("name", from.name(), into.name, wrong_)) return false;
  } else if (into.name = from.name(); !http_syntax::is_token(into.name)) {
    return fail(fmt::format("name: '{}' is no name of a cookie", into.name));
  }
  into.absolute_timeout_seconds = from.absolute_timeout_seconds();
  into.idle_timeout_seconds = from.idle_timeout_seconds();
  into.permanent = from.permanent();
  if (into.permanent && into.absolute_timeout_seconds == 0)
    return fail("permanent: a cookie that outlives the client needs absolute_timeout_seconds");
  return true;
}

bool Reader::read_rule(const v1::RouteRule& from, RouteRule& into) {
  into.name = from.name();
  into.grpc = from.grpc();
  into.invalid = from.invalid();
  for (int i = 0; i < from.backends_size(); ++i) {
    if (!read_backend(from.backends(i), into.backends.emplace_back()))
      return within(fmt::format("backends[{}]", i));
    into.weight_sum += into.backends.back().weight;
  }
  if (!read_filters(from.filters(), into.filters, wrong_)) return within("filters");
  read_timeouts(from.timeouts(), into.timeouts);
  if (from.has_retry() && !read_retry(from.retry(), into.retry.emplace(), wrong_)) return false;
  if (from.has_persistence() && !read_persistence(from.persistence(), into.persistence.emplace()))
    return within("persistence");
  return true;
}

bool Reader::read(const v1::RouteTable& from) {
  table_.name = from.name();
  table_.service = from.service();
  table_.consumer_namespace = from.consumer_namespace();
  if (table_.service.empty()) return fail("service: is empty");
  if (!read_ports("ports", from.ports(), table_.ports, wrong_)) return false;
  if (from.rules_size() > kRulesMax) return fail(fmt::format("rules: more than {}", kRulesMax));
  if (from.matches_size() > kMatchesMax) return fail(fmt::format("matches: more than {}", kMatchesMax));
  table_.rules.reserve(static_cast<size_t>(from.rules_size()));
  for (int i = 0; i < from.rules_size(); ++i)
    if (!read_rule(from.rules(i), table_.rules.emplace_back())) return within(fmt::format("rules[{}]", i));
  table_.matches.reserve(static_cast<size_t>(from.matches_size()));
  for (int i = 0; i < from.matches_size(); ++i)
    if (!read_match(from.matches(i), table_.matches.emplace_back()))
      return within(fmt::format("matches[{}]", i));
  index_matches(table_);
  return true;
}

}  // namespace

bool read_routes(const v1::RouteTable& from, RouteTable& into, std::string& wrong) {
  if (const std::string type = type_with_unknown_fields(from); !type.empty()) {
    wrong = fmt::format("{} has fields that this proxy does not know; a condition must not be ignored", type);
    return false;
  }
  return Reader(into, wrong).read(from);
}

}  // namespace weir::config
