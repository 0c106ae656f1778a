// SPDX-License-Identifier: Apache-2.0
// Counts cycles in Renode: adds up, block by block, what the core's timing table says. C# 7.2.
using System.Collections.Generic;
using Antmicro.Renode.Peripherals.Bus;
using Antmicro.Renode.Peripherals.CPU;

namespace Antmicro.Renode.Peripherals.Miscellaneous
{
    // Firmware reads 64-bit counts as low and high words: cycles at 0, instructions at 8. A write sets both to 0.
    public class KilogradCycleCounter : IDoubleWordPeripheral, IKnownSize
    {
        public KilogradCycleCounter(CortexM cpu)
        {
            this.cpu = cpu;
            cpu.SetHookAtBlockBegin((pc, size) => Enter((uint)pc, size));
        }

        public ulong Cycles { get; private set; }

        public ulong Instructions { get; private set; }

        public long Size { get { return 0x10; } }

        public void Reset()
        {
            Cycles = 0;
            Instructions = 0;
            last = null;
        }

        public uint ReadDoubleWord(long offset)
        {
            ulong count = offset < 8 ? Cycles : Instructions;
            return (uint)(offset % 8 < 4 ? count : count >> 32);
        }

        public void WriteDoubleWord(long offset, uint value)
        {
            Cycles = 0;
            Instructions = 0;
        }

        private void Enter(uint pc, uint size)
        {
            if(last != null && pc != last.End)
            {
                Cycles += last.Taken;
            }
            Block block;
            if(!blocks.TryGetValue(Key(pc, size), out block))
            {
                block = Learn(pc, size);
                blocks[Key(pc, size)] = block;
            }
            Cycles += block.Cycles;
            Instructions += size;
            last = block;
        }

        private static ulong Key(uint pc, uint size)
        {
            return (ulong)size << 32 | pc;
        }

        // Firmware that changes its code later is not supported.
        private Block Learn(uint pc, uint size)
        {
            var block = new Block { End = pc };
            for(uint i = 0; i < size; i++)
            {
                uint first = cpu.Bus.ReadWord(block.End);
                bool wide = first >> 11 >= 0x1D; // ARMv6-M ARM, A5.1
                uint code = wide ? first << 16 | cpu.Bus.ReadWord(block.End + 2) : first;
                Row row = Find(wide ? Words : Halfwords, code);
                block.Cycles += row.Cycles + row.PerRegister * Ones(code & row.List);
                block.Taken = row.Taken;
                block.End += wide ? 4u : 2u;
            }
            return block;
        }

        private static Row Find(Row[] rows, uint code)
        {
            foreach(var row in rows)
            {
                if((code & row.Mask) == row.Value)
                {
                    return row;
                }
            }
            return Default;
        }

        private static uint Ones(uint bits)
        {
            uint count = 0;
            for(; bits != 0; bits &= bits - 1)
            {
                count++;
            }
            return count;
        }

        private readonly CortexM cpu;
        private readonly Dictionary<ulong, Block> blocks = new Dictionary<ulong, Block>();
        private Block last;

        private class Block
        {
            public uint End;
            public uint Cycles;
            public uint Taken; // more if the next block is not the one behind
        }

        private struct Row
        {
            public Row(uint mask, uint value, uint list, uint cycles, uint perRegister, uint taken)
            {
                Mask = mask;
                Value = value;
                List = list;
                Cycles = cycles;
                PerRegister = perRegister;
                Taken = taken;
            }

            public readonly uint Mask;
            public readonly uint Value;
            public readonly uint List;
            public readonly uint Cycles;
            public readonly uint PerRegister;
            public readonly uint Taken;
        }

        // Made from emulation/timing by `python -m kilograd.platforms.renode_cycles`: do not edit.
        // <tables>
        private static readonly Row Default = new Row(0x0, 0x0, 0x0, 1, 0, 0);

        private static readonly Row[] Halfwords =
        {
            new Row(0xfe00, 0x1c00, 0x0, 1, 0, 0), // alu
            new Row(0xfe00, 0x1e00, 0x0, 1, 0, 0), // alu
            new Row(0xf800, 0x1800, 0x0, 1, 0, 0), // alu
            new Row(0xffc0, 0x0, 0x0, 1, 0, 0), // alu
            new Row(0xe000, 0x0, 0x0, 1, 0, 0), // shift
            new Row(0xf800, 0x2000, 0x0, 1, 0, 0), // alu
            new Row(0xf800, 0x2800, 0x0, 1, 0, 0), // alu
            new Row(0xf000, 0x3000, 0x0, 1, 0, 0), // alu
            new Row(0xffc0, 0x4080, 0x0, 1, 0, 0), // shift
            new Row(0xffc0, 0x40c0, 0x0, 1, 0, 0), // shift
            new Row(0xffc0, 0x4100, 0x0, 1, 0, 0), // shift
            new Row(0xffc0, 0x41c0, 0x0, 1, 0, 0), // shift
            new Row(0xffc0, 0x4200, 0x0, 1, 0, 0), // alu
            new Row(0xffc0, 0x4240, 0x0, 1, 0, 0), // alu
            new Row(0xffc0, 0x4280, 0x0, 1, 0, 0), // alu
            new Row(0xffc0, 0x42c0, 0x0, 1, 0, 0), // alu
            new Row(0xffc0, 0x4340, 0x0, 1, 0, 0), // multiply
            new Row(0xffc0, 0x43c0, 0x0, 1, 0, 0), // alu
            new Row(0xfc00, 0x4000, 0x0, 1, 0, 0), // alu
            new Row(0xff87, 0x4487, 0x0, 1, 0, 1), // alu_pc
            new Row(0xff00, 0x4400, 0x0, 1, 0, 0), // alu
            new Row(0xff00, 0x4500, 0x0, 1, 0, 0), // alu
            new Row(0xff87, 0x4687, 0x0, 1, 0, 1), // alu_pc
            new Row(0xff00, 0x4600, 0x0, 1, 0, 0), // alu
            new Row(0xff80, 0x4700, 0x0, 1, 0, 1), // branch_exchange
            new Row(0xff80, 0x4780, 0x0, 1, 0, 1), // branch_link_exchange
            new Row(0xf800, 0x4800, 0x0, 2, 0, 0), // load_literal
            new Row(0xfe00, 0x5000, 0x0, 2, 0, 0), // store_register
            new Row(0xfe00, 0x5200, 0x0, 2, 0, 0), // store_register
            new Row(0xfe00, 0x5400, 0x0, 2, 0, 0), // store_register
            new Row(0xfe00, 0x5800, 0x0, 2, 0, 0), // load
            new Row(0xf000, 0x5000, 0x0, 2, 0, 0), // load_narrow
            new Row(0xf800, 0x6000, 0x0, 2, 0, 0), // store
            new Row(0xf800, 0x6800, 0x0, 2, 0, 0), // load
            new Row(0xf800, 0x7000, 0x0, 2, 0, 0), // store
            new Row(0xf800, 0x7800, 0x0, 2, 0, 0), // load_narrow
            new Row(0xf800, 0x8000, 0x0, 2, 0, 0), // store
            new Row(0xf800, 0x8800, 0x0, 2, 0, 0), // load_narrow
            new Row(0xf800, 0x9000, 0x0, 2, 0, 0), // store
            new Row(0xf800, 0x9800, 0x0, 2, 0, 0), // load
            new Row(0xf000, 0xa000, 0x0, 1, 0, 0), // alu
            new Row(0xff00, 0xb000, 0x0, 1, 0, 0), // alu
            new Row(0xff00, 0xb200, 0x0, 1, 0, 0), // extend
            new Row(0xfe00, 0xb400, 0x1ff, 1, 1, 0), // push
            new Row(0xffe0, 0xb660, 0x0, 1, 0, 0), // interrupt_mask
            new Row(0xff00, 0xba00, 0x0, 1, 0, 0), // reverse
            new Row(0xff00, 0xbc00, 0xff, 1, 1, 0), // pop
            new Row(0xff00, 0xbd00, 0x1ff, 1, 1, 2), // pop_pc
            new Row(0xff00, 0xbe00, 0x0, 1, 0, 0), // trap
            new Row(0xffff, 0xbf20, 0x0, 2, 0, 0), // wait
            new Row(0xffff, 0xbf30, 0x0, 2, 0, 0), // wait
            new Row(0xff0f, 0xbf00, 0x0, 1, 0, 0), // nop
            new Row(0xf800, 0xc000, 0xff, 1, 1, 0), // store_multiple
            new Row(0xf800, 0xc800, 0xff, 1, 1, 0), // load_multiple
            new Row(0xff00, 0xde00, 0x0, 1, 0, 0), // trap
            new Row(0xff00, 0xdf00, 0x0, 1, 0, 0), // trap
            new Row(0xf000, 0xd000, 0x0, 1, 0, 1), // branch_conditional
            new Row(0xf800, 0xe000, 0x0, 1, 0, 1), // branch
        };

        private static readonly Row[] Words =
        {
            new Row(0xffd00000, 0xe8800000, 0x5fff, 1, 1, 0), // store_multiple
            new Row(0xffd08000, 0xe8908000, 0xdfff, 1, 0, 0), // load_multiple_pc
            new Row(0xffd08000, 0xe8900000, 0x5fff, 1, 1, 0), // load_multiple
            new Row(0xffd00000, 0xe9000000, 0x5fff, 1, 1, 0), // store_multiple
            new Row(0xffd08000, 0xe9108000, 0xdfff, 1, 0, 0), // load_multiple_pc
            new Row(0xffd08000, 0xe9100000, 0x5fff, 1, 1, 0), // load_multiple
            new Row(0xfff00000, 0xe8400000, 0x0, 1, 0, 0), // store_exclusive
            new Row(0xfff00000, 0xe8500000, 0x0, 1, 0, 0), // load_exclusive
            new Row(0xfff000e0, 0xe8c00040, 0x0, 1, 0, 0), // store_exclusive
            new Row(0xfff000e0, 0xe8d00000, 0x0, 1, 0, 0), // table_branch
            new Row(0xfff000e0, 0xe8d00040, 0x0, 1, 0, 0), // load_exclusive
            new Row(0xfe700000, 0xe8600000, 0x0, 1, 0, 0), // store_double
            new Row(0xfe500000, 0xe8400000, 0x0, 1, 0, 0), // store_double
            new Row(0xfe700000, 0xe8700000, 0x0, 1, 0, 0), // load_double
            new Row(0xfe500000, 0xe8500000, 0x0, 1, 0, 0), // load_double
            new Row(0xfe0070f0, 0xea000000, 0x0, 1, 0, 0), // alu
            new Row(0xfe000000, 0xea000000, 0x0, 1, 0, 0), // alu_shifted
            new Row(0xfbef8000, 0xf04f0000, 0x0, 1, 0, 0), // alu
            new Row(0xfa008000, 0xf0000000, 0x0, 1, 0, 0), // alu
            new Row(0xfb508000, 0xf2000000, 0x0, 1, 0, 0), // alu
            new Row(0xfbf08000, 0xf2400000, 0x0, 1, 0, 0), // alu
            new Row(0xfbf08000, 0xf2c00000, 0x0, 1, 0, 0), // alu
            new Row(0xffd08000, 0xf3000000, 0x0, 1, 0, 0), // saturate
            new Row(0xffd08000, 0xf3800000, 0x0, 1, 0, 0), // saturate
            new Row(0xfff08000, 0xf3400000, 0x0, 1, 0, 0), // bitfield
            new Row(0xfff08000, 0xf3c00000, 0x0, 1, 0, 0), // bitfield
            new Row(0xfff08000, 0xf3600000, 0x0, 1, 0, 0), // bitfield
            new Row(0xffe0d000, 0xf3808000, 0x0, 3, 0, 0), // status
            new Row(0xfff0d7fe, 0xf3a08002, 0x0, 2, 0, 0), // wait
            new Row(0xfff0d700, 0xf3a08000, 0x0, 1, 0, 0), // nop
            new Row(0xfff0d000, 0xf3b08000, 0x0, 3, 0, 0), // barrier
            new Row(0xffe0d000, 0xf3e08000, 0x0, 3, 0, 0), // status
            new Row(0xfff0d000, 0xf7f08000, 0x0, 1, 0, 0), // trap
            new Row(0xfb80d000, 0xf3808000, 0x0, 1, 0, 0), // nop
            new Row(0xf800d000, 0xf0008000, 0x0, 1, 0, 1), // branch_conditional
            new Row(0xf800d000, 0xf0009000, 0x0, 1, 0, 1), // branch
            new Row(0xf800d000, 0xf000d000, 0x0, 1, 0, 2), // branch_link
            new Row(0xff900000, 0xf8800000, 0x0, 2, 0, 0), // store
            new Row(0xff900900, 0xf8000900, 0x0, 2, 0, 0), // store
            new Row(0xff900800, 0xf8000800, 0x0, 2, 0, 0), // store
            new Row(0xff900fc0, 0xf8000000, 0x0, 2, 0, 0), // store_register
            new Row(0xfe50f000, 0xf810f000, 0x0, 1, 0, 0), // nop
            new Row(0xff70f000, 0xf850f000, 0x0, 1, 0, 0), // load_pc
            new Row(0xff7f0000, 0xf85f0000, 0x0, 2, 0, 0), // load_literal
            new Row(0xfe5f0000, 0xf81f0000, 0x0, 2, 0, 0), // load_literal
            new Row(0xfff00000, 0xf8d00000, 0x0, 2, 0, 0), // load
            new Row(0xfff00900, 0xf8500900, 0x0, 2, 0, 0), // load
            new Row(0xfff00800, 0xf8500800, 0x0, 2, 0, 0), // load
            new Row(0xfff00fc0, 0xf8500000, 0x0, 2, 0, 0), // load
            new Row(0xfed00000, 0xf8900000, 0x0, 2, 0, 0), // load_narrow
            new Row(0xfed00900, 0xf8100900, 0x0, 2, 0, 0), // load_narrow
            new Row(0xfed00800, 0xf8100800, 0x0, 2, 0, 0), // load_narrow
            new Row(0xfed00fc0, 0xf8100000, 0x0, 2, 0, 0), // load_narrow
            new Row(0xff80f0f0, 0xfa00f000, 0x0, 1, 0, 0), // shift
            new Row(0xff8ff080, 0xfa0ff080, 0x0, 1, 0, 0), // extend
            new Row(0xff80f080, 0xfa00f080, 0x0, 1, 0, 0), // extend
            new Row(0xfff0f0c0, 0xfa80f080, 0x0, 1, 0, 0), // saturate
            new Row(0xfff0f0c0, 0xfa90f080, 0x0, 1, 0, 0), // reverse
            new Row(0xfff0f0f0, 0xfab0f080, 0x0, 1, 0, 0), // reverse
            new Row(0xfff0f0f0, 0xfaa0f080, 0x0, 1, 0, 0), // simd
            new Row(0xff80f080, 0xfa80f000, 0x0, 1, 0, 0), // simd
            new Row(0xff80f0c0, 0xfb00f000, 0x0, 1, 0, 0), // multiply
        };
        // </tables>
    }
}
