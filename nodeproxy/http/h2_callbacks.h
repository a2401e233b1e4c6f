#pragma once
// What nghttp2 calls, per session: plain functions that find the Connection behind the user pointer. The receiving ones
// are in h2_receive.cc, the sending ones in h2_send.cc.
// Owner: Connection. Thread: the connection's worker.
#include <nghttp2/nghttp2.h>

#include "nodeproxy/http/h2_connection.h"

namespace weir::http::h2 {

struct Callbacks {
  static const nghttp2_session_callbacks* all();
  static nghttp2_data_provider body_of(Stream* stream);

 private:
  // h2_receive.cc
  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int header(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                    const uint8_t* value, size_t value_size, uint8_t flags, void* user);
  static int invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int error, void* user);
  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int data(nghttp2_session*, uint8_t flags, int32_t id, const uint8_t* bytes, size_t size, void* user);
  static int stream_closed(nghttp2_session*, int32_t id, uint32_t error_code, void* user);
  static void headers_received(Connection& c, const nghttp2_frame* frame);
  static void head_unpaid(Connection& c, Stream* stream);
  static void request_received(Connection& c, Stream* stream, bool end);
  static void response_received(Connection& c, Stream* stream, bool end);
  static void trailers_received(Connection& c, Stream* stream);
  static void reset_received(Connection& c, const nghttp2_frame* frame);
  static void goaway_received(Connection& c, const nghttp2_frame* frame);

  // h2_send.cc
  static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static ssize_t read_body(nghttp2_session*, int32_t id, uint8_t* into, size_t size, uint32_t* flags,
                           nghttp2_data_source* source, void* user);
  static int send_data(nghttp2_session*, nghttp2_frame* frame, const uint8_t* header, size_t size,
                       nghttp2_data_source* source, void* user);
};

}  // namespace weir::http::h2
