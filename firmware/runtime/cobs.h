// SPDX-License-Identifier: Apache-2.0
// Consistent overhead byte stuffing: removes every 0x00 from a frame, so that 0x00 marks its ends.
//
// A block is a code byte and code - 1 data bytes, none of them zero. Code 0xFF is followed by the
// next block directly, any other code stands for one zero between its block and the next.
#ifndef KG_RUNTIME_COBS_H
#define KG_RUNTIME_COBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    KG_COBS_MORE,     // no frame has ended
    KG_COBS_FRAME,    // a frame of `size` bytes is in the buffer
    KG_COBS_DAMAGED,  // a frame has ended that is broken or larger than the buffer
} kg_cobs_result_t;

// Decodes a stream byte by byte into the caller's buffer. All but buffer and capacity start at 0.
typedef struct {
    uint8_t *buffer;
    size_t capacity;
    size_t size;    // decoded bytes of the open frame
    uint8_t code;   // of the block in progress; 0: no block yet
    uint8_t left;   // data bytes of the block still to come
    bool open;      // a 0x00 was seen; bytes before the first one are skipped
    bool overlong;  // the open frame does not fit
} kg_cobs_decoder_t;

// Every 0x00 ends the open frame and opens the next; frames without a byte are skipped. So one lost
// or inserted 0x00 damages the frames it touches and no other.
kg_cobs_result_t kg_cobs_feed(kg_cobs_decoder_t *decoder, uint8_t byte);

// Makes room for the next frame; call it when a frame was used, before the next byte.
void kg_cobs_next(kg_cobs_decoder_t *decoder);

// Encodes one frame without its delimiters, in pieces of at most 254 bytes.
void kg_cobs_encode(const uint8_t *data, size_t bytes,
                    void (*sink)(const uint8_t *data, size_t bytes));

#endif
