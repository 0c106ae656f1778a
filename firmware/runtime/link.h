// SPDX-License-Identifier: Apache-2.0
// The link protocol: COBS frames with a CRC-32 over any byte stream. One request, one answer.
//
// On the wire: 0x00, COBS(frame), 0x00. A frame before COBS, little-endian:
//
//   request: kind u8,        flags u8 (0),            sequence u16, payload, crc32 u32
//   answer:  kind u8 | 0x80, status i8 (kg_status_t), sequence u16, payload, crc32 u32
//
// The CRC (IEEE 802.3, as zlib.crc32) covers all before it.
//
// Sequence: HELLO accepts any and starts the count; every other request must carry the last
// accepted one + 1 (mod 2^16), and is then accepted, whatever it is answered. A frame that is
// damaged, repeated or late changes nothing and is answered with an error (KG_ERROR_FRAME answers
// carry kind 0x80 and sequence 0).
//
// Input before the first 0x00 is skipped; later every 0x00 ends one frame and opens the next, and
// empty frames are skipped. In the output, bytes outside frames are text for people.
#ifndef KG_RUNTIME_LINK_H
#define KG_RUNTIME_LINK_H

#include "kilograd/model.h"

#define KG_LINK_VERSION 2

// Requests, each with its payload -> the payload of its answer.
typedef enum {
    // version u8 -> version u8, 3 x 0, model id u32, input bytes u32, state bytes u32, classes u32,
    // steps u32, max payload u32, model name (the rest, UTF-8, cut to what fits).
    // KG_ERROR_VERSION, which alone of all errors has a payload: version u8.
    KG_LINK_HELLO = 1,
    // seed u32, planned updates u32, batch u32, initial rate f32, decay u32 (kg_decay_t) ->
    // nothing;
    // restarts the counters
    KG_LINK_CONFIGURE = 2,
    // offset u32, bytes -> nothing; writes into the input tensor
    // The next TRAIN or EVALUATE uses up what is written: its memory may serve other tensors then.
    KG_LINK_INPUT = 3,
    // label u32 -> loss f32, predicted u32; forward, backward, and the update when the batch is
    // full. KG_ERROR_RANGE before the first CONFIGURE.
    KG_LINK_TRAIN = 4,
    // label u32 -> loss f32, predicted u32, classes x logit f32; forward only
    KG_LINK_EVALUATE = 5,
    // offset u32, count u32 -> bytes of the state
    KG_LINK_READ = 6,
    // offset u32, bytes -> nothing; writes into the state
    KG_LINK_WRITE = 7,
    // first step u32, count u32 -> stack peak u32, count x cycles u64 (accumulated per step)
    KG_LINK_PROFILE = 8,
    // nothing -> nothing; clears the cycles of all steps, and the counts of kept rows
    KG_LINK_RESET_PROFILE = 9,
    // offset u32, count u32 -> bytes of the output tensor, as the EVALUATE just before has left it
    KG_LINK_OUTPUT = 10,
    // first u32 -> sparse layers u32, then for each of them from the first on, as many as fit, rows
    // kept u64, rows seen u64 (accumulated; the layers from the last to the first)
    KG_LINK_KEPT = 11,
} kg_link_kind_t;

// Greets, then serves requests until the stream ends. buffer holds one frame and its answer; its
// size sets the max payload. It needs at least 64 bytes plus 4 per class.
void kg_link_serve(const kg_model_t *model, kg_training_t *training, uint8_t *buffer,
                   size_t buffer_bytes);

#endif
