// Tokens and cookies. See persistence.h.
#include "nodeproxy/route/persistence.h"

#include <fmt/format.h>

#include <array>

namespace weir::route {
namespace {

using Type = config::SessionPersistence::Type;

constexpr size_t kWords = 5;  // backend, endpoint, started, used, check
constexpr size_t kTokenBytes = kWords * 16;

// Spreads every bit over all: a check that no slip of the pen survives, and a mask for the words before it.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ULL;
  return x ^ (x >> 32);
}

uint64_t check_of(const Session& session) {
  return mix(mix(mix(mix(session.backend + 1) + session.endpoint) + session.started_s) + session.used_s);
}

bool timed_out(uint64_t since_s, uint32_t timeout_seconds, uint64_t now_s) {
  return timeout_seconds != 0 && now_s > since_s && now_s - since_s >= timeout_seconds;
}

// Calls visit(value) for each cookie of the name until it returns true.
template <typename Visit>
void each_cookie(const http::Headers& headers, std::string_view name, Visit visit) {
  for (const http::Field field : headers) {
    if (!http::same_field(field.name, "cookie")) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const size_t end = rest.find(';');
      std::string_view pair = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      while (pair.starts_with(' ') || pair.starts_with('\t')) pair.remove_prefix(1);
      while (pair.ends_with(' ') || pair.ends_with('\t')) pair.remove_suffix(1);
      const size_t equals = pair.find('=');
      if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
      if (visit(pair.substr(equals + 1))) return;
    }
  }
}

// Of rules whose matches differ each has its own cookie. A ';' would end the attribute.
std::string_view cookie_path(const config::RouteMatch& match) {
  const bool usable =
      match.path != config::RouteMatch::Path::regex && match.path_value.find(';') == std::string::npos;
  return usable ? std::string_view(match.path_value) : "/";
}

}  // namespace

std::string encode_session(const Session& session) {
  const uint64_t check = check_of(session);
  return fmt::format("{:016x}{:016x}{:016x}{:016x}{:016x}", session.backend ^ mix(check),
                     session.endpoint ^ mix(check + 1), session.started_s ^ mix(check + 2),
                     session.used_s ^ mix(check + 3), check);
}

std::optional<Session> decode_session(std::string_view token) {
  if (token.size() != kTokenBytes) return std::nullopt;
  std::array<uint64_t, kWords> words{};
  for (size_t i = 0; i < token.size(); ++i) {
    const char c = token[i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
    words[i / 16] = words[i / 16] << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  const uint64_t check = words[4];
  const Session session{words[0] ^ mix(check), words[1] ^ mix(check + 1), words[2] ^ mix(check + 2),
                        words[3] ^ mix(check + 3)};
  if (check_of(session) != check) return std::nullopt;
  return session;
}

std::optional<std::string_view> cookie(const http::Headers& headers, std::string_view name) {
  std::optional<std::string_view> found;
  each_cookie(headers, name, [&](std::string_view value) {
    found = value;
    return true;
  });
  return found;
}

std::optional<Session> read_session(const config::SessionPersistence& persistence, const http::Head& request,
                                    uint64_t now_s) {
  std::optional<Session> found;
  // The first that is good: a client may hold an older cookie of another path beside it.
  const auto take = [&](std::string_view token) {
    found = decode_session(token);
    if (found && (timed_out(found->started_s, persistence.absolute_timeout_seconds, now_s) ||
                  timed_out(found->used_s, persistence.idle_timeout_seconds, now_s)))
      found.reset();
    return found.has_value();
  };
  if (persistence.type == Type::cookie) {
    each_cookie(request.headers, persistence.name, take);
  } else if (const auto value = request.headers.get(persistence.name)) {
    take(*value);
  }
  return found;
}

uint64_t backend_id(const config::Backend& backend) {
  uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
  for (const char c : backend.service) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return mix(hash + backend.port);
}

const config::Backend* backend_of(const config::RouteRule& rule, const Session& session) {
  for (const config::Backend& backend : rule.backends)
    if (backend.weight != 0 && backend_id(backend) == session.backend) return &backend;
  return nullptr;
}

void write_session(const config::SessionPersistence& persistence, const std::optional<Session>& had,
                   const Served& served, uint64_t now_s, http::Head& response) {
  const uint64_t backend = backend_id(served.backend);
  const bool goes_on = had && had->endpoint == served.endpoint && had->backend == backend;
  if (goes_on && persistence.idle_timeout_seconds == 0) return;
  const Session session{backend, served.endpoint, goes_on ? had->started_s : now_s, now_s};
  const std::string token = encode_session(session);
  if (persistence.type == Type::header) return response.headers.set(persistence.name, token);
  std::string text =
      fmt::format("{}={}; Path={}; HttpOnly", persistence.name, token, cookie_path(served.match));
  if (served.secure) text += "; Secure";
  if (persistence.permanent) {
    const uint64_t age_s = now_s > session.started_s ? now_s - session.started_s : 0;
    const uint64_t whole_s = persistence.absolute_timeout_seconds;
    text += fmt::format("; Max-Age={}", whole_s > age_s ? whole_s - age_s : 0);
  }
  response.headers.add("set-cookie", text);
}

}  // namespace weir::route
