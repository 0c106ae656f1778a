// SPDX-License-Identifier: Apache-2.0
// Instructions of the Cortex-M4 and M7 that the firmware may come to use: at least one of each class and form.
    .syntax unified
    .thumb
    .text
    mov r8, r9
    add r8, r9
    cmp r8, r9
    adds r0, r1, #7
    rsbs r0, r1, #0
    mvns r0, r1
    tst r0, r1
    movw r9, #4660
    movt r9, #4660
    addw r1, r2, #4095
    subw r1, r2, #4095
    orn r1, r2, #1
    teq r1, #255
    add r8, r9, r10
    add r8, r9, r10, asr #5
    sub r8, r9, r10, lsl #1
    eor r8, r9, r10, ror #7
    lsl r8, r9, #3
    ror r8, r9, #3
    rrx r8, r9
    lsl r8, r9, r10
    asr r8, r9, r10
    ubfx r1, r2, #3, #4
    sbfx r1, r2, #3, #4
    bfi r1, r2, #3, #4
    bfc r1, #3, #4
    sxtab r1, r2, r3
    sxtab r1, r2, r3, ror #8
    uxtb16 r1, r2
    sxtb16 r1, r2, ror #8
    sxtab16 r1, r2, r3
    uxth r8, r9
    rbit r1, r2
    clz r1, r2
    rev16 r1, r2
    revsh r8, r9
    ssat r1, #8, r2
    usat r1, #8, r2, asr #3
    qadd r1, r2, r3
    qdsub r1, r2, r3
    sadd16 r1, r2, r3
    usub8 r1, r2, r3
    qsub16 r1, r2, r3
    uqadd8 r1, r2, r3
    sel r1, r2, r3
    mul r8, r9, r10
    smulbb r1, r2, r3
    smulwt r1, r2, r3
    smuad r1, r2, r3
    smmulr r1, r2, r3
    usad8 r1, r2, r3
    mla r1, r2, r3, r4
    mls r1, r2, r3, r4
    smlabt r1, r2, r3, r4
    smlawb r1, r2, r3, r4
    smlad r1, r2, r3, r4
    smladx r1, r2, r3, r4
    smlsd r1, r2, r3, r4
    smmla r1, r2, r3, r4
    usada8 r1, r2, r3, r4
    umull r1, r2, r3, r4
    smull r1, r2, r3, r4
    umlal r1, r2, r3, r4
    smlald r1, r2, r3, r4
    smlalbb r1, r2, r3, r4
    umaal r1, r2, r3, r4
    sdiv r1, r2, r3
    udiv r1, r2, r3
    ldr r8, [r9, #4000]
    ldr r8, [r9], #4
    ldr r8, [r9, #-4]!
    ldr r8, [r9, r10, lsl #2]
    ldrsb r8, [r9, #1]
    ldrsh r8, [r9], #2
    ldrh r8, [r9, r10]
    ldrb r1, [r2, r3]
    ldrsh r1, [r2, r3]
    ldrd r1, r2, [r3, #8]
    ldrd r1, r2, [r3], #8
    str r8, [r9, #4000]
    strb r8, [r9], #1
    strh r8, [r9, #-2]!
    str r8, [r9, r10, lsl #2]
    strh r1, [r2, r3]
    strd r1, r2, [r3, #8]!
    ldmdb r1, {r2, r3, r8}
    ldmia r1!, {r2, r3}
    ldmia r1, {r2, r3, r8, pc}
    stmdb r1!, {r2, r8}
    stmia r1!, {r2, r3}
    push {r4, r8, lr}
    push {r8}
    pop {r4, r8, pc}
    pop {r8}
    pop {r0, pc}
    ldr pc, [r1, #4]
    mov pc, r1
    blx r1
    bx lr
    tbb [pc, r0]
    tbh [pc, r0, lsl #1]
    nop
    nop.w
    wfi
    wfe
    cpsid i
    mrs r1, primask
    msr primask, r1
    dmb
    dsb
    isb
    svc #1
    bkpt #1
    udf #1
    udf.w #1
    it eq
    addeq r1, r2
    vadd.f32 s1, s2, s3
    vabs.f32 s1, s2
    vneg.f32 s31, s30
    vcmp.f32 s1, s2
    vcmpe.f32 s1, #0
    vmul.f32 s1, s2, s3
    vnmul.f32 s1, s2, s3
    vmla.f32 s1, s2, s3
    vmls.f32 s1, s2, s3
    vfma.f32 s1, s2, s3
    vfms.f32 s1, s2, s3
    vfnma.f32 s1, s2, s3
    vdiv.f32 s1, s2, s3
    vsqrt.f32 s1, s2
    vcvt.s32.f32 s1, s2
    vcvt.f32.u32 s1, s2
    vcvtr.s32.f32 s1, s2
    vcvt.f32.s32 s1, s1, #8
    vmov.f32 s1, s2
    vmov.f32 s1, #1.0
    vmov s1, r2
    vmov r1, s2
    vmov r1, r2, s3, s4
    vmov s3, s4, r1, r2
    vmov d3, r1, r2
    vmrs apsr_nzcv, fpscr
    vmsr fpscr, r1
    vldr s1, [r2, #4]
    vldr d1, [r2, #8]
    vstr s1, [r2, #4]
    vstr d1, [r2, #8]
    vldmia r1!, {s1-s3}
    vldmia r1, {d1-d3}
    vstmia r1!, {s1-s3}
    vpush {d8-d9}
    vpop {s16-s18}
