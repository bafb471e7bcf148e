// Rendered by godwit from godwit.yaml, for package sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.
// Change godwit.yaml and render again rather than this file.

@description('The region of everything here.')
param location string = 'westeurope'

@description('How long logs and requests are kept.')
param logRetentionInDays int = 30

@description('Where the Key Vaults are.')
param keyVaultResourceGroup string = resourceGroup().name

@description('The id of the action group that is told when something failed for good; empty for none.')
param alertActionGroupId string = ''

@description('The id of the subnet for private endpoints, in the same network as the function\'s and not the same.')
param privateEndpointSubnetId string

// Names that the whole of Azure shares end in what no one else has.
var token = uniqueString(resourceGroup().id, 'fraud')
var appName = 'fraud-${token}'

// Azure's built-in roles, by their ids.
var roles = {
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  keyVaultCryptoServiceEncryptionUser: 'e147488a-f6f5-4113-8e2d-b22465e65bf6'
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageQueueDataReader: '19e7f393-937e-4f77-808e-94535e297925'
  storageQueueDataMessageProcessor: '8a0f0c08-91a1-4084-bc3d-661d67233fed'
  storageQueueDataMessageSender: 'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'
  serviceBusDataReceiver: '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  eventHubsDataReceiver: 'a638d3c7-ab3a-418d-83e6-5f17a39d4fde'
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
}

// Who the function is. No key or password is anywhere in these files.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: appName
  location: location
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: appName
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: logRetentionInDays
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: appName
  location: location
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logs.id
    DisableLocalAuth: true
  }
}

resource writesMetrics 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, identity.id, roles.monitoringMetricsPublisher)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringMetricsPublisher)
  }
}

// Storage asks the vault for the key as the function's identity.
module encryption 'modules/vault-role.bicep' = {
  name: 'vault-role-encryption'
  scope: resourceGroup(keyVaultResourceGroup)
  params: {
    vaultName: 'acme'
    identityId: identity.id
    principalId: identity.properties.principalId
    roleId: roles.keyVaultCryptoServiceEncryptionUser
  }
}

// What the Functions host keeps, the packages, and the data of batches.
resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'st${token}'
  location: location
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    // Nobody gets in with a key: callers are identities with roles.
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    // Reached through the private endpoints below.
    publicNetworkAccess: 'Disabled'
    networkAcls: {
      defaultAction: 'Deny'
      bypass: 'AzureServices'
    }
    // With a key of your own. The vault has to have purge protection.
    encryption: {
      keySource: 'Microsoft.Keyvault'
      identity: {
        userAssignedIdentity: identity.id
      }
      keyvaultproperties: {
        keyvaulturi: 'https://acme${environment().suffixes.keyvaultDns}'
        keyname: 'storage'
        keyversion: '0123456789abcdef0123456789abcdef'
      }
      services: {
        blob: {
          enabled: true
          keyType: 'Account'
        }
        queue: {
          enabled: true
          keyType: 'Account'
        }
      }
    }
  }
  dependsOn: [
    encryption
  ]
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: storage
  name: 'default'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: 'packages'
  properties: {
    publicAccess: 'None'
  }
}

resource data 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: 'data'
  properties: {
    publicAccess: 'None'
  }
}

// The Functions host keeps its locks and keys in blobs, and asks for this role.
resource keepsState 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: storage
  name: guid(storage.id, identity.id, roles.storageBlobDataOwner)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
  }
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2025-01-01' = {
  parent: storage
  name: 'default'
}

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = {
  parent: queues
  name: 'rows'
}

// Messages that failed for good, put here by the host.
resource poison 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = {
  parent: queues
  name: 'rows-poison'
}

resource seesQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: queue
  name: guid(queue.id, identity.id, roles.storageQueueDataReader)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageQueueDataReader)
  }
}

resource takesMessages 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: queue
  name: guid(queue.id, identity.id, roles.storageQueueDataMessageProcessor)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageQueueDataMessageProcessor)
  }
}

resource setsMessagesAside 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: poison
  name: guid(poison.id, identity.id, roles.storageQueueDataMessageSender)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageQueueDataMessageSender)
  }
}

// Queues of storage have no metric of their own; the host's log tells of each message that it puts aside.
resource poisonAlarm 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${appName}-poison'
  location: location
  properties: {
    severity: 2
    enabled: true
    scopes: [
      logs.id
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      allOf: [
        {
          query: 'AppTraces | where Message has "Moving message to queue \'rows-poison\'"'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    skipQueryValidation: true
    actions: {
      actionGroups: empty(alertActionGroupId) ? [] : [
        alertActionGroupId
      ]
    }
  }
  dependsOn: [
    insights
  ]
}

// Topics need the Standard tier.
resource bus 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: appName
  location: location
  sku: {
    name: 'Standard'
    tier: 'Standard'
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
  }
}

resource topic 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' = {
  parent: bus
  name: 'rows'
}

resource ownSubscription 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' = {
  parent: topic
  name: 'fraud'
  properties: {
    // Then a message goes to the subscription's dead-letter queue, and so does one that expires.
    maxDeliveryCount: 7
    deadLetteringOnMessageExpiration: true
    lockDuration: 'PT5M'
  }
}

resource receives 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: ownSubscription
  name: guid(ownSubscription.id, identity.id, roles.serviceBusDataReceiver)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
  }
}

resource deadLetterAlarm 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${appName}-deadLetterAlarm'
  location: 'global'
  properties: {
    severity: 2
    enabled: true
    scopes: [
      bus.id
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'DeadletteredMessages'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'DeadletteredMessages'
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Maximum'
          dimensions: [
            {
              name: 'EntityName'
              operator: 'Include'
              values: [
                topic.name
              ]
            }
          ]
        }
      ]
    }
    actions: empty(alertActionGroupId) ? [] : [
      {
        actionGroupId: alertActionGroupId
      }
    ]
  }
}

resource hubs 'Microsoft.EventHub/namespaces@2024-01-01' = {
  name: appName
  location: location
  sku: {
    name: 'Standard'
    tier: 'Standard'
    capacity: 1
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
  }
}

// An event that fails is not delivered again: the hub goes on behind it.
resource hub 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' = {
  parent: hubs
  name: 'rows'
  properties: {
    partitionCount: 4
    retentionDescription: {
      cleanupPolicy: 'Delete'
      retentionTimeInHours: 24
    }
  }
}

resource reads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: hub
  name: guid(hub.id, identity.id, roles.eventHubsDataReceiver)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventHubsDataReceiver)
  }
}

// Flex Consumption: nothing runs, and nothing is paid for, while nobody asks.
resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: appName
  location: location
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: appName
  location: location
  kind: 'functionapp,linux'
  tags: {
    'godwit-package': 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packages.name}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: {
        // host.json in the package names the program.
        name: 'custom'
        version: '1.0'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: 4096
        maximumInstanceCount: 40
        // These run, and are paid for, at all times.
        alwaysReady: [
          {
            name: 'http'
            instanceCount: 2
          }
        ]
        triggers: {
          http: {
            perInstanceConcurrency: 16
          }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      ftpsState: 'Disabled'
    }
    // Who reads the secrets that settings name.
    keyVaultReferenceIdentity: identity.id
    // Outgoing calls come from here.
    virtualNetworkSubnetId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/acme/subnets/functions'
    outboundVnetRouting: {
      allTraffic: true
    }
    // Reached through the private endpoint below.
    publicNetworkAccess: 'Disabled'
  }
  dependsOn: [
    keepsState
  ]
}

// Packages are deployed by identities alone, not with a password.
resource ftpPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource scmPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

module readsSecrets 'modules/vault-role.bicep' = {
  name: 'vault-role-readsSecrets'
  scope: resourceGroup(keyVaultResourceGroup)
  params: {
    vaultName: 'acme'
    identityId: identity.id
    principalId: identity.properties.principalId
    roleId: roles.keyVaultSecretsUser
  }
}

module readsSecrets2 'modules/vault-role.bicep' = {
  name: 'vault-role-readsSecrets2'
  scope: resourceGroup(keyVaultResourceGroup)
  params: {
    vaultName: 'other-vault'
    identityId: identity.id
    principalId: identity.properties.principalId
    roleId: roles.keyVaultSecretsUser
  }
}

resource settings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: {
    AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
    AzureWebJobsStorage__queueServiceUri: storage.properties.primaryEndpoints.queue
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__clientId: identity.properties.clientId
    APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
    GODWIT_QUEUE: queue.name
    // Then a message goes to rows-poison.
    AzureFunctionsJobHost__extensions__queues__maxDequeueCount: '7'
    // Messages at a time.
    AzureFunctionsJobHost__extensions__queues__batchSize: '8'
    AzureFunctionsJobHost__extensions__queues__newBatchThreshold: '0'
    ServiceBus__fullyQualifiedNamespace: '${bus.name}.servicebus.windows.net'
    ServiceBus__credential: 'managedidentity'
    ServiceBus__clientId: identity.properties.clientId
    GODWIT_TOPIC: topic.name
    GODWIT_SUBSCRIPTION: ownSubscription.name
    // Messages at a time.
    AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentCalls: '8'
    EventHubs__fullyQualifiedNamespace: '${hubs.name}.servicebus.windows.net'
    EventHubs__credential: 'managedidentity'
    EventHubs__clientId: identity.properties.clientId
    GODWIT_STREAM: hub.name
    // Events of one delivery.
    AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize: '20'
    AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize: '20'
    // How long a delivery waits to be full.
    AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime: '00:00:05'
    // Where batch.output is.
    GODWIT_OUTPUT: 'azblob://${storage.name}/data/'
    GODWIT_TARGET: 'azurefunctions'
    // Whose tokens the function asks for, where it reads and writes blobs.
    AZURE_CLIENT_ID: identity.properties.clientId
    LEVEL: 'it\'s'
    GODWIT_API_KEYS: '@Microsoft.KeyVault(SecretUri=https://acme${environment().suffixes.keyvaultDns}/secrets/api-keys)'
    OTHER: '@Microsoft.KeyVault(SecretUri=https://other-vault${environment().suffixes.keyvaultDns}/secrets/thing)'
  }
  dependsOn: [
    readsSecrets
    readsSecrets2
  ]
}

// The network that the subnet is in.
var networkId = join(take(split(privateEndpointSubnetId, '/'), 9), '/')

resource callsZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelink.azurewebsites.net'
  location: 'global'
}

resource callsZoneInNetwork 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: callsZone
  name: appName
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}

resource callsEndpoint 'Microsoft.Network/privateEndpoints@2024-10-01' = {
  name: '${appName}-sites'
  location: location
  properties: {
    subnet: {
      id: privateEndpointSubnetId
    }
    privateLinkServiceConnections: [
      {
        name: 'sites'
        properties: {
          privateLinkServiceId: app.id
          groupIds: [
            'sites'
          ]
        }
      }
    ]
  }
}

resource callsEndpointNames 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-10-01' = {
  parent: callsEndpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: 'sites'
        properties: {
          privateDnsZoneId: callsZone.id
        }
      }
    ]
  }
}

resource blobZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelink.blob.${environment().suffixes.storage}'
  location: 'global'
}

resource blobZoneInNetwork 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: blobZone
  name: appName
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}

resource blobEndpoint 'Microsoft.Network/privateEndpoints@2024-10-01' = {
  name: '${appName}-blob'
  location: location
  properties: {
    subnet: {
      id: privateEndpointSubnetId
    }
    privateLinkServiceConnections: [
      {
        name: 'blob'
        properties: {
          privateLinkServiceId: storage.id
          groupIds: [
            'blob'
          ]
        }
      }
    ]
  }
}

resource blobEndpointNames 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-10-01' = {
  parent: blobEndpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: 'blob'
        properties: {
          privateDnsZoneId: blobZone.id
        }
      }
    ]
  }
}

resource queueZone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: 'privatelink.queue.${environment().suffixes.storage}'
  location: 'global'
}

resource queueZoneInNetwork 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: queueZone
  name: appName
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}

resource queueEndpoint 'Microsoft.Network/privateEndpoints@2024-10-01' = {
  name: '${appName}-queue'
  location: location
  properties: {
    subnet: {
      id: privateEndpointSubnetId
    }
    privateLinkServiceConnections: [
      {
        name: 'queue'
        properties: {
          privateLinkServiceId: storage.id
          groupIds: [
            'queue'
          ]
        }
      }
    ]
  }
}

resource queueEndpointNames 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-10-01' = {
  parent: queueEndpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: 'queue'
        properties: {
          privateDnsZoneId: queueZone.id
        }
      }
    ]
  }
}

output AZURE_FUNCTION_NAME string = app.name
output AZURE_RESOURCE_GROUP string = resourceGroup().name
output AZURE_STORAGE_NAME string = storage.name
output FUNCTION_URL string = 'https://${app.properties.defaultHostName}'
output QUEUE_URL string = '${storage.properties.primaryEndpoints.queue}${queue.name}'
output STREAM_NAMESPACE string = '${hubs.name}.servicebus.windows.net'
output TOPIC_URL string = '${bus.properties.serviceBusEndpoint}${topic.name}'
