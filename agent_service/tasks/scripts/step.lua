-- One step of a worker: writes the ends of tasks that succeeded, and takes the next ones.
--
-- Arguments: the 13 of `p` below in their order, the number of ends and seven arguments for each, then an execution id for
-- each task that is wanted. `again` is '1' for a step whose answer was lost; run anew it changes nothing twice, and
-- finds what the lost one took.
local p = {
  prefix = ARGV[1], queue = ARGV[2], worker = ARGV[3], iso = ARGV[4], now = ARGV[5], ttl = tonumber(ARGV[6]),
  journal_seconds = tonumber(ARGV[7]), journal_lines = ARGV[8], journal_at = ARGV[9], worker_json = ARGV[10],
  side_by_side = ARGV[11], again = ARGV[12] == '1', popped = ARGV[13], executions = {},
}
p.second = math.floor(tonumber(p.now))
p.wip = p.prefix .. ':wip:' .. p.queue
p.worker_key = p.prefix .. ':worker:' .. p.worker

local ends, at = {}, 14
for i = 1, tonumber(ARGV[at]) do
  ends[i] = {
    id = ARGV[at + 1], execution = ARGV[at + 2], result = ARGV[at + 3], ttl = tonumber(ARGV[at + 4]),
    seconds = tonumber(ARGV[at + 5]), began = ARGV[at + 6], has_dependencies = ARGV[at + 7] == '1',
  }
  at = at + 7
end
for i = at + 1, #ARGV do
  p.executions[#p.executions + 1] = ARGV[i]
end

local verdicts = finish_all(p, ends)
if p.again then
  local found = find_taken(p)
  if #found > 0 then
    return { verdicts, found }
  end
end
-- Whoever takes an id out of the intermediate list has it; another worker may have rescued it meanwhile.
local popped = p.popped ~= '' and p.popped or nil
if popped and redis.call('LREM', p.prefix .. ':queue:' .. p.queue .. ':intermediate', 1, popped) == 0 then
  popped = nil
end
return { verdicts, take(p, popped) }
