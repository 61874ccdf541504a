"""Figures of Debian's python3-execnet. Reads the name of a figure a line, answers with a number."""
import os
import statistics
import sys
import time

import execnet

SPEC = 'popen//python=/usr/bin/python3'
ECHO = 'for item in channel: channel.send(item)'
DRAIN = '''
size = 0
while size < 268435456:
    size += len(channel.receive())
channel.send(size)
'''
RESIDENT = '''
with open('/proc/self/status') as status:
    channel.send([int(line.split()[1]) for line in status if line.startswith('VmRSS')][0])
'''


def timed(run, count):
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return sorted(times)


def first():
    channel = execnet.makegateway(SPEC).remote_exec(ECHO)
    channel.send(None)
    channel.receive()
    return channel


def figure(name):
    try:
        if name == 'connect':
            return statistics.median(timed(lambda: execnet.makegateway(SPEC), 5)) * 1e3
        if name == 'first':
            return statistics.median(timed(first, 5)) * 1e3
        if name == 'fifty':
            begin = time.perf_counter()
            for channel in [execnet.makegateway(SPEC).remote_exec(ECHO) for _ in range(50)]:
                channel.send(None)
                channel.receive()
            return time.perf_counter() - begin
        if name == 'resident':
            return execnet.makegateway(SPEC).remote_exec(RESIDENT).receive() / 1024
        if name == 'stream':
            channel = execnet.makegateway(SPEC).remote_exec(DRAIN)
            data = os.urandom(1 << 16)
            begin = time.perf_counter()
            for _ in range(4096):
                channel.send(data)
            channel.receive()
            return 256 / (time.perf_counter() - begin)
        if name not in ('p50', 'p99', 'pipelined', 'echo'):
            return None
        channel = first()
        if name in ('p50', 'p99'):
            def run():
                channel.send(None)
                channel.receive()
            times = timed(run, 2000)
            return times[int(len(times) * (0.99 if name == 'p99' else 0.5))] * 1e6
        if name == 'pipelined':
            begin = time.perf_counter()
            for _ in range(2000):
                channel.send(None)
            for _ in range(2000):
                channel.receive()
            return 2000 / (time.perf_counter() - begin)
        data = os.urandom(1 << 20)
        begin = time.perf_counter()
        for _ in range(16):
            channel.send(data)
            assert len(channel.receive()) == len(data)
        return 16 / (time.perf_counter() - begin)
    finally:
        execnet.default_group.terminate(timeout=2)


if __name__ == '__main__':
    for line in sys.stdin:
        value = figure(line.strip())
        print('null' if value is None else repr(value), flush=True)
