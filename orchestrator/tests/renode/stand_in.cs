// SPDX-License-Identifier: Apache-2.0
// Stands in for what the cycle counter uses of Renode, and runs it over a trace: words of code, then blocks.
using System;
using System.Collections.Generic;

namespace Antmicro.Renode.Peripherals
{
    public interface IKnownSize { long Size { get; } }
}

namespace Antmicro.Renode.Peripherals.Bus
{
    public interface IDoubleWordPeripheral
    {
        uint ReadDoubleWord(long offset);
        void WriteDoubleWord(long offset, uint value);
        void Reset();
    }

    public class Bus
    {
        public ushort ReadWord(ulong address) { return Code[address]; }
        public readonly Dictionary<ulong, ushort> Code = new Dictionary<ulong, ushort>();
    }
}

namespace Antmicro.Renode.Peripherals.CPU
{
    public class CortexM
    {
        public readonly Bus.Bus Bus = new Bus.Bus();
        public Action<ulong, uint> Hook;
        public void SetHookAtBlockBegin(Action<ulong, uint> hook) { Hook = hook; }
    }
}

public static class Program
{
    public static void Main()
    {
        var cpu = new Antmicro.Renode.Peripherals.CPU.CortexM();
        var counter = new Antmicro.Renode.Peripherals.Miscellaneous.KilogradCycleCounter(cpu);
        for(string line; (line = Console.ReadLine()) != null;)
        {
            string[] words = line.Split(' ');
            ulong address = ulong.Parse(words[1]);
            if(words[0] == "code") { cpu.Bus.Code[address] = ushort.Parse(words[2]); }
            else { cpu.Hook(address, uint.Parse(words[2])); }
        }
        Console.WriteLine("{0} {1}", counter.ReadDoubleWord(0), counter.ReadDoubleWord(8));
        counter.WriteDoubleWord(0, 0);
        Console.WriteLine("{0} {1}", counter.Cycles, counter.Instructions);
    }
}
