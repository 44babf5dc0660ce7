-- ARGV: 1 an id that waits in the intermediate list, or '' to take the next from the queue; 2 and on the parameters.
local p = parameters(2)
if ARGV[1] == '' then
  return take(p)
end
-- Whoever takes the id out of the intermediate list has it; another worker may have rescued it meanwhile.
if redis.call('LREM', p.prefix .. ':queue:' .. p.queue .. ':intermediate', 1, ARGV[1]) == 0 then
  return false
end
return start(p, ARGV[1]) or take(p)
