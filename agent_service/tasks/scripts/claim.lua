-- Starts a task: what RQ 3.0's `prepare_execution` and `prepare_job_execution` write, in one step.
--
-- Invariant: at every moment exactly one place knows of a task that is not final: its queue's list, the intermediate
-- list, or the registry of running executions (`wip`). A task is started only from the status `queued`, so an id that
-- was canceled, expired or started by somebody else is dropped here and never runs.
--
-- `p` holds: prefix, queue, worker, execution, iso (now, as RQ writes times), now (Unix seconds) and its whole second, ttl
-- (seconds until a silent execution counts as abandoned), journal_seconds, journal_lines, journal_at (now, ISO 8601).

local function tell(p, id, data)
  if p.journal_seconds > 0 then
    local key = 'agents:journal:' .. id
    redis.call('XADD', key, 'MAXLEN', '~', p.journal_lines, '*', 'kind', 'status', 'at', p.journal_at, 'data', data)
    redis.call('EXPIRE', key, p.journal_seconds)
  end
end

local function start(p, id)
  local job = p.prefix .. ':job:' .. id
  local fields = redis.call('HMGET', job, 'status', 'stop_requested')
  if fields[1] ~= 'queued' then
    return nil
  end
  if fields[2] then
    return { 'stopped', id }
  end
  local composite = id .. ':' .. p.execution
  local execution = p.prefix .. ':execution:' .. composite
  redis.call('HSET', execution, 'id', p.execution, 'job_id', id, 'created_at', p.now, 'last_heartbeat', p.now,
    'worker_name', p.worker)
  redis.call('EXPIRE', execution, p.ttl)
  local executions = p.prefix .. ':executions:' .. id
  redis.call('ZADD', executions, p.second + p.ttl + 60, p.execution)
  redis.call('EXPIRE', executions, p.ttl + 60)
  redis.call('ZADD', p.prefix .. ':wip:' .. p.queue, p.second + p.ttl, composite)
  local worker = p.prefix .. ':worker:' .. p.worker
  redis.call('SADD', worker .. ':executions', composite)
  redis.call('EXPIRE', worker .. ':executions', p.ttl + 60)
  redis.call('HSET', worker, 'state', 'busy')
  redis.call('HSET', job, 'last_heartbeat', p.iso, 'status', 'started', 'started_at', p.iso, 'worker_name', p.worker)
  -- A task that was retried may carry the time to live of its failure.
  redis.call('PERSIST', job)
  local attempt = redis.call('HINCRBY', job, 'attempts', 1)
  tell(p, id, '{"status":"started","attempt":' .. attempt .. ',"worker":' .. cjson.encode(p.worker) .. '}')
  return { 'started', id, redis.call('HGETALL', job) }
end

-- Takes ids from the queue until one can be started; false when none is left.
local function take(p)
  while true do
    local id = redis.call('LPOP', p.prefix .. ':queue:' .. p.queue)
    if not id then
      return false
    end
    local started = start(p, id)
    if started then
      return started
    end
  end
end

local function parameters(first)
  return {
    prefix = ARGV[first], queue = ARGV[first + 1], worker = ARGV[first + 2], execution = ARGV[first + 3],
    iso = ARGV[first + 4], now = ARGV[first + 5], second = math.floor(tonumber(ARGV[first + 5])),
    ttl = tonumber(ARGV[first + 6]),
    journal_seconds = tonumber(ARGV[first + 7]), journal_lines = ARGV[first + 8], journal_at = ARGV[first + 9],
  }
end
