// SPDX-License-Identifier: Apache-2.0
// The link protocol: COBS frames with a CRC-32 over any byte stream. One request, one answer.
//
// On the wire: 0x00, COBS(request frame), 0x00. A frame before COBS, little-endian:
//   request: kind u8, flags u8 (0), sequence u16, payload, crc32 u32 (of all before it; IEEE 802.3, as zlib.crc32)
//   answer:  kind u8 | 0x80, status i8 (kg_status_t), sequence u16, payload, crc32 u32
// Sequence: HELLO accepts any and starts the count; every other request must carry the last accepted one + 1
// (mod 2^16). A frame that is damaged, repeated or late changes nothing and is answered with an error
// (KG_ERROR_FRAME answers carry kind 0x80 and sequence 0). Bytes outside frames are text for people.
#ifndef KG_RUNTIME_LINK_H
#define KG_RUNTIME_LINK_H

#include "kilograd/model.h"

#define KG_LINK_VERSION 1

// Requests and their payloads -> answer payloads.
typedef enum {
    KG_LINK_HELLO = 1,      // version u8 -> version u8, 3 x 0, model id u32, input bytes u32, state bytes u32,
                            //               classes u32, steps u32, max payload u32, model name (rest, UTF-8)
    KG_LINK_CONFIGURE = 2,  // seed u32, planned updates u32, batch u32, initial rate f32 -> nothing; restarts counters
    KG_LINK_INPUT = 3,      // offset u32, bytes -> nothing; writes into the input tensor
    KG_LINK_TRAIN = 4,      // label u32 -> loss f32, predicted u32; forward, backward, and the update when the batch is full
    KG_LINK_EVALUATE = 5,   // label u32 -> loss f32, predicted u32, classes x logit f32
    KG_LINK_READ = 6,       // offset u32, count u32 -> bytes of the state
    KG_LINK_WRITE = 7,      // offset u32, bytes -> nothing
    KG_LINK_PROFILE = 8,    // first step u32, count u32 -> stack peak u32, count x cycles u64 (accumulated per step)
    KG_LINK_RESET_PROFILE = 9,  // nothing -> nothing; clears the cycles of all steps
} kg_link_kind_t;

// Greets, then serves requests until the stream ends. buffer holds one frame and its answer; its size sets the
// max payload. It needs at least 64 bytes plus 4 per class.
void kg_link_serve(const kg_model_t *model, kg_training_t *training, uint8_t *buffer, size_t buffer_bytes);

#endif
