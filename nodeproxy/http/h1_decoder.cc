// The states, and llhttp's callbacks. See h1_decoder.h.
#include "nodeproxy/http/h1_decoder.h"

#include <algorithm>

#include "nodeproxy/base/limits.h"

namespace weir::http::h1 {
namespace {

constexpr size_t kGatherBytes = 4096;    // of a section that came in pieces, at a time
constexpr size_t kHeldKeptBytes = 4096;  // memory kept for the next one

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// llhttp reports a span in one piece if it lies in one piece, except at a folded line, which the guard has refused.
void extend(std::string_view& span, const char* at, size_t size) {
  span = std::string_view(span.empty() ? at : span.begin(), at + size);
}

}  // namespace

struct Decoder::Callbacks {
  static Decoder& self(llhttp_t* parser) { return *static_cast<Decoder*>(parser->data); }
  static int on_url(llhttp_t* parser, const char* at, size_t size) {
    extend(self(parser).target_, at, size);
    return 0;
  }
  static int on_name(llhttp_t* parser, const char* at, size_t size) {
    extend(self(parser).name_, at, size);
    return 0;
  }
  static int on_value(llhttp_t* parser, const char* at, size_t size) {
    extend(self(parser).value_, at, size);
    return 0;
  }
  static int on_field(llhttp_t* parser) { return self(parser).take_field(); }
  static int on_head(llhttp_t* parser) { return self(parser).finish_head(); }
  static int on_chunk(llhttp_t* parser) {
    return parser->content_length == self(parser).chunks_.size() ? 0 : -1;
  }
  static int on_end(llhttp_t* parser) {
    self(parser).parsed_ = true;
    return 0;
  }
  static const llhttp_settings_t& settings() {
    static const llhttp_settings_t settings = [] {
      llhttp_settings_t made;
      llhttp_settings_init(&made);
      made.on_url = on_url;
      made.on_header_field = on_name;
      made.on_header_value = on_value;
      made.on_header_value_complete = on_field;
      made.on_headers_complete = on_head;
      made.on_chunk_header = on_chunk;
      made.on_message_complete = on_end;
      return made;
    }();
    return settings;
  }
};

Decoder::Decoder(Role role) : role_(role) {
  llhttp_init(&parser_, role == Role::requests ? HTTP_REQUEST : HTTP_RESPONSE, &Callbacks::settings());
  scan_.reset(role == Role::requests ? HeadScan::Start::request : HeadScan::Start::response);
  builder_.reset(role == Role::requests);
}

void Decoder::expect_response_to(const Head& request) {
  asked_.head = request.method == "HEAD";
  asked_.connect = request.method == "CONNECT";
  asked_.upgrade = request.upgrade;
  awaited_ = true;
  informational_bytes_ = 0;
}

bool Decoder::body_follows() const {
  return state_ == State::body || state_ == State::chunk_line || state_ == State::chunk_data;
}

bool Decoder::begun() const {
  switch (state_) {
    case State::start: return held_.size() > scan_.begin();
    case State::at_switch:
    case State::over:
    case State::refused: return false;
    default: return true;
  }
}

std::unexpected<Error> Decoder::refuse(const Refusal& refusal) {
  const uint16_t status = refusal.status;
  refusal_ = {refusal.rule, role_ == Role::responses ? uint16_t{502} : status};
  too_large_ |= status == 414 || status == 431 || status == 501;
  state_ = State::refused;
  held_ = {};
  const bool requests = role_ == Role::requests;
  return fail(requests ? Source::downstream : Source::upstream,
              too_large_ ? Reason::head_too_large
              : requests ? Reason::bad_request
                         : Reason::bad_response,
              refusal_.rule);
}

Result<Decoder::Event> Decoder::next(std::span<const std::byte>& input) {
  while (true) {
    Result<bool> moved = false;
    switch (state_) {
      case State::start: return read_head(input);
      case State::body:
      case State::chunk_data: return read_body(input);
      case State::chunk_line: moved = read_chunk_line(input); break;
      case State::chunk_end: moved = read_chunk_end(input); break;
      case State::trailers: moved = read_trailers(input); break;
      case State::end: return read_end();
      case State::at_switch:
      case State::over: return Event{};
      case State::refused: return refuse(refusal_);
    }
    if (!moved) return std::unexpected(moved.error());
    if (!*moved) return Event{};
  }
}

Result<std::string_view> Decoder::read_section(std::span<const std::byte>& input) {
  using Step = HeadScan::Step;
  if (held_.empty()) {
    const Step step = scan_.scan(text_of(input));
    if (step == Step::refused) return refuse(scan_.refusal());
    const size_t n = step == Step::whole ? scan_.end() : input.size();
    const std::string_view text = text_of(input.first(n));
    input = input.subspan(n);
    if (step == Step::whole) return text;
    held_ = text;
    return std::string_view();
  }
  while (!input.empty()) {
    const size_t before = held_.size(), n = std::min(kGatherBytes, input.size());
    held_.append(text_of(input.first(n)));
    const Step step = scan_.scan(held_);
    if (step == Step::refused) return refuse(scan_.refusal());
    if (step == Step::whole) {
      input = input.subspan(scan_.end() - before);
      held_.resize(scan_.end());
      return std::string_view(held_);
    }
    input = input.subspan(n);
  }
  return std::string_view();
}

Result<Decoder::Event> Decoder::read_head(std::span<const std::byte>& input) {
  if (input.empty()) return Event{};
  if (role_ == Role::responses && !awaited_) return refuse({"bytes that answer no request"});
  const auto text = read_section(input);
  if (!text) return std::unexpected(text.error());
  if (text->empty()) return Event{};
  if (const Refusal refused = parse_head(text->substr(scan_.begin()))) return refuse(refused);
  if (role_ == Role::responses && head_.informational()) {
    informational_bytes_ += text->size();
    if (informational_bytes_ > limits::http_head_max_bytes)
      return refuse({"the 1xx heads are above their limit", 431});
  }
  leave_head();
  return Event{Kind::head, {}};
}

// The guard has let it through whole: `text` is one head and nothing else.
Refusal Decoder::parse_head(std::string_view text) {
  llhttp_reset(&parser_);
  builder_.reset(role_ == Role::requests);
  trailers_.clear();
  target_ = name_ = value_ = {};
  trailing_ = parsed_ = false;
  refusal_ = {};
  if (role_ == Role::requests) {
    head_.method = text.substr(0, scan_.method_size());
    text.remove_prefix(scan_.method_size());
    if (const Refusal refused = feed(head_.method == "CONNECT" ? "CONNECT" : "GET")) return refused;
  }
  return feed(text);
}

Refusal Decoder::feed(std::string_view text) {
  if (text.empty()) return {};
  parser_.data = this;
  const llhttp_errno_t code = llhttp_execute(&parser_, text.data(), text.size());
  if (refusal_) return refusal_;
  if (code == HPE_OK) return {};
  // At the end of a message that asks for an upgrade; whether there is one is ours to say.
  if (code == HPE_PAUSED_UPGRADE && llhttp_get_error_pos(&parser_) == text.data() + text.size()) {
    llhttp_resume_after_upgrade(&parser_);
    return {};
  }
  const char* reason = llhttp_get_error_reason(&parser_);  // static text
  return {reason ? reason : "llhttp refused it"};
}

int Decoder::take_field() {
  if (trailing_) {
    const Special which = special(name_);
    if (which == Special::content_length || which == Special::transfer_encoding)
      refusal_ = {"a field of framing among the trailers"};
    else if (may_trail(name_))
      trailers_.add(name_, trim(value_));
  } else {
    builder_.field(name_, value_);
  }
  name_ = value_ = {};
  return refusal_ ? -1 : 0;
}

// llhttp's on_headers_complete: 0 to go on with the body as it sees it, 1 for no body, 2 for another protocol.
int Decoder::finish_head() {
  head_.version = parser_.http_minor == 1 ? Version::http_1_1 : Version::http_1_0;
  if (role_ == Role::responses) head_.status = parser_.status_code;
  refusal_ = role_ == Role::requests ? builder_.finish_request(target_) : builder_.finish_response(asked_);
  if (refusal_) return -1;
  const bool same = ((parser_.flags & F_CHUNKED) != 0) == builder_.chunked() &&
                    ((parser_.flags & F_CONTENT_LENGTH) != 0) == builder_.written_length().has_value() &&
                    parser_.content_length == builder_.written_length().value_or(0) &&
                    parser_.http_major == 1;
  if (!same) {
    refusal_ = {"the framing reads in two ways"};
    return -1;
  }
  if (builder_.tunnel()) return 2;
  return builder_.body() == Body::none ? 1 : 0;
}

void Decoder::leave_head() {
  if (held_.capacity() > kHeldKeptBytes) held_ = {};
  held_.clear();
  scan_.reset(role_ == Role::requests ? HeadScan::Start::request : HeadScan::Start::response);
  if (head_.informational() && role_ == Role::responses) return;  // the answer is still owed
  awaited_ = false;
  left_ = builder_.length();
  switch (builder_.body()) {
    case Body::none: state_ = State::end; break;
    case Body::length:
    case Body::to_close: state_ = State::body; break;
    case Body::chunked:
      chunks_.reset();
      state_ = State::chunk_line;
      break;
  }
  if (builder_.tunnel()) state_ = State::at_switch;
}

Result<Decoder::Event> Decoder::read_body(std::span<const std::byte>& input) {
  if (input.empty()) return Event{};
  const bool to_close = builder_.body() == Body::to_close;
  const size_t n = to_close ? input.size() : static_cast<size_t>(std::min<uint64_t>(left_, input.size()));
  const std::span<const std::byte> part = input.first(n);
  if (const Refusal refused = feed(text_of(part))) return refuse(refused);
  input = input.subspan(n);
  if (!to_close) {
    left_ -= n;
    if (left_ == 0) state_ = state_ == State::chunk_data ? State::chunk_end : State::end;
  }
  return Event{Kind::body, part};
}

Result<bool> Decoder::read_chunk_line(std::span<const std::byte>& input) {
  std::string_view text = text_of(input), digits;
  const ChunkScan::Step step = chunks_.size_line(text, digits);
  if (step == ChunkScan::Step::refused) return refuse(chunks_.refusal());
  input = input.last(text.size());
  if (const Refusal refused = feed(digits)) return refuse(refused);
  if (step == ChunkScan::Step::need_more) return false;
  if (const Refusal refused = feed("\r\n")) return refuse(refused);
  left_ = chunks_.size();
  state_ = left_ > 0 ? State::chunk_data : State::trailers;
  if (left_ == 0) {
    trailing_ = true;
    scan_.reset(HeadScan::Start::trailers);
  }
  return true;
}

Result<bool> Decoder::read_chunk_end(std::span<const std::byte>& input) {
  std::string_view text = text_of(input);
  const ChunkScan::Step step = chunks_.data_end(text);
  if (step == ChunkScan::Step::refused) return refuse(chunks_.refusal());
  const std::span<const std::byte> taken = input.first(input.size() - text.size());
  input = input.subspan(taken.size());
  if (const Refusal refused = feed(text_of(taken))) return refuse(refused);
  if (step == ChunkScan::Step::need_more) return false;
  state_ = State::chunk_line;
  return true;
}

Result<bool> Decoder::read_trailers(std::span<const std::byte>& input) {
  const auto text = read_section(input);
  if (!text) return std::unexpected(text.error());
  if (text->empty()) return false;
  if (const Refusal refused = feed(*text)) return refuse(refused);
  held_.clear();
  scan_.reset(role_ == Role::requests ? HeadScan::Start::request : HeadScan::Start::response);
  state_ = State::end;
  return true;
}

Result<Decoder::Event> Decoder::read_end() {
  if (!parsed_) return refuse({"the end reads in two ways"});
  const bool asks = role_ == Role::requests && (!head_.upgrade.empty() || head_.method == "CONNECT");
  if (asks)
    state_ = State::at_switch;
  else
    state_ = keep_alive() ? State::start : State::over;
  return Event{Kind::end, {}};
}

Result<Decoder::Kind> Decoder::end_of_input() {
  switch (state_) {
    case State::refused: return refuse(refusal_);
    case State::body:
      if (builder_.body() != Body::to_close) break;
      state_ = State::over;
      return Kind::end;
    case State::end:
    case State::at_switch:
    case State::over: return Kind::need_more;
    default:
      if (begun()) break;
      state_ = State::over;
      return Kind::need_more;
  }
  return refuse({"the connection ended inside a message"});
}

}  // namespace weir::http::h1
