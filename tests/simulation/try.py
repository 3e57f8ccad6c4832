import sys, time, traceback
from tests.simulation.world import play
a,b=int(sys.argv[1]),int(sys.argv[2])
t=time.perf_counter(); n=0
from collections import Counter
f=Counter(); secs=0; ev=Counter()
for s in range(a,b):
    o=play(s); secs+=o.seconds; ev+=o.events; f+=o.faults
    for x in o.failures: print(s,x); n+=1
    if n>int(sys.argv[3]): break
print((time.perf_counter()-t)/(s-a+1)*1000,'ms', secs/(s-a+1), ev, dict(f))
